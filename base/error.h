/* SPDX-License-Identifier: Apache-2.0
 *
 * Error codes and the caller-owned error report.
 *
 * Every call that can fail returns 0 or one of the negative codes below. The codes are stable: they
 * cross the wire and stand in records, so a number is never given a new meaning.
 * Calls at a boundary (open, parse, decode, load) also fill a `struct dpc_error`, which the caller
 * owns.
 *
 * Owns: nothing. Threads: any. Not here: logging (a function returns an error or logs it, never
 * both).
 */
#ifndef DPC_BASE_ERROR_H
#define DPC_BASE_ERROR_H

/* X(name, number, text for people) */
#define DPC_ERRORS(X)                                                                              \
    X(OK, 0, "no error")                                                                           \
    X(EINVAL, -1, "invalid value")                                                                 \
    X(ENOTFOUND, -2, "not found")                                                                  \
    X(EIO, -3, "input/output error")                                                               \
    X(ENOSPACE, -4, "no space left")                                                               \
    X(ECORRUPT, -5, "damaged data")                                                                \
    X(ELIMIT, -6, "limit exceeded")                                                                \
    X(ENOMEM, -7, "out of memory")                                                                 \
    X(EPARSE, -8, "could not be parsed")                                                           \
    X(ERANGE, -9, "value out of range")                                                            \
    X(EUNSUPPORTED, -10, "not supported yet")                                                      \
    X(EBUSY, -11, "busy")                                                                          \
    X(EAGAIN, -12, "not now")                                                                      \
    X(EEXIST, -13, "exists already")                                                               \
    X(ESTALE, -14, "out of date")                                                                  \
    X(EVERSION, -15, "version mismatch")                                                           \
    X(EPERM, -16, "not permitted")                                                                 \
    X(EPROTO, -17, "protocol violation")                                                           \
    X(EHASH, -18, "hash mismatch")                                                                 \
    X(ETIMEDOUT, -19, "timed out")                                                                 \
    X(ECLOSED, -20, "closed")                                                                      \
    X(ECANCELLED, -21, "cancelled")                                                                \
    X(ESUPERSEDED, -22, "superseded by another submission")                                        \
    X(ENOTFINITE, -23, "not finite")                                                               \
    X(EFOREIGN, -24, "a library failed")                                                           \
    X(EDEVICE, -25, "the card failed")                                                             \
    X(EFILES, -26, "too many files are open")

enum {
#define DPC_X(name, number, text) DPC_##name = (number),
    DPC_ERRORS(DPC_X)
#undef DPC_X
};

enum { DPC_ERROR_TEXT_MAX = 768 };

/* What went wrong, for a person. `text` is complete: "could not open store "x": reason; way out".
 */
struct dpc_error {
    int code;
    char text[DPC_ERROR_TEXT_MAX];
};

/* Name ("ENOSPACE") and plain words ("no space left") of a code; "?" for a number that is no code.
 */
const char *dpc_error_name(int code);
const char *dpc_error_words(int code);

/* Code that stands for an errno value. */
int dpc_error_from_errno(int errnum);

/* Fills `err` (may be NULL) and returns `code`. The text is cut at DPC_ERROR_TEXT_MAX. */
int dpc_error_set(struct dpc_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As dpc_error_set, with ": " and the words for `errnum` behind it; the code follows from `errnum`.
 */
int dpc_error_set_errno(struct dpc_error *err, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "text: " before what `err` (may be NULL) holds, for a caller that knows more; returns its
 * code. */
int dpc_error_prefix(struct dpc_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define DPC_MUST_CHECK __attribute__((warn_unused_result))

#endif
