/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever a manual page's source holds: reading it ends, in memory that grows with the page alone.
 */
#include "data/manpage.h"
#include "tests/fuzz/fuzz.h"

/* An escape of three bytes may stand for a string of the page's own, of which there is a budget. */
enum { TEXT_PER_BYTE = 64, TEXT_MORE = 1 << 22 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *page = (const char *)data;
    struct dpc_buf text;
    dpc_buf_init(&text, 0);
    (void)dpc_manpage_is_redirect(page, size);
    dpc_manpage_text(page, size, &text);
    fuzz_require(!text.failed && text.len <= TEXT_PER_BYTE * size + TEXT_MORE,
                 "a text is of its page's size");
    fuzz_accepted += text.len && dpc_manpage_is(page, size);
    dpc_buf_done(&text);
    return 0;
}

#ifndef DPC_LIBFUZZER

static const char *const pages[] = {
    ".TH LS 1 \"May 2020\"\n.SH NAME\nls \\- list directory contents\n.SH SYNOPSIS\n.B ls\n"
    "[\\fIOPTION\\fR]... [\\,\\fI\\,FILE\\/\\fR\\/]...\n.\\\" comment\n.TP\n\\fB-a\\fR, all\n"
    ".ds XX value\n\\*(XX and \\*[XX] and \\(co \\[u20AC] \\N'65' \\s-2small\\s0\n"
    ".nf\nraw  text\n.fi\n.TS\ntab(;) allbox;\nl l.\na;b\nT{\nlong\nT};d\n.TE\n"
    ".if n \\{\\\nyes\n.\\}\n.ie t no\n.el also\n.de MM\nbody\n..\n.MM\n",
    ".Dd May 1, 2020\n.Dt CAT 1\n.Os\n.Sh NAME\n.Nm cat\n.Nd concatenate files\n.Sh SYNOPSIS\n"
    ".Nm\n.Op Fl benst\n.Op Ar\n.Bl -tag -width Ds\n.It Fl b , Ar number\nText of\n.Xr more 1 .\n"
    ".Bd -literal\n$ cat \"a b\"\n.Ed\n.El\n.Fn main \"int argc\" \"char **argv\"\n"
    ".Sx SEE Ns ALSO\n.Dq quoted No and Pq Em parted\n",
};

static void
add_inputs(struct fuzz *fuzz)
{
    fuzz_valid_texts(fuzz, pages, sizeof pages / sizeof *pages);
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 30000, add_inputs);
}

#endif
