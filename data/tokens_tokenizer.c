/* SPDX-License-Identifier: Apache-2.0
 * The file beside a token file. An import writes it under a second name, puts the token file in its
 * place and then this one: who comes in between, or behind a power cut there, finds the second
 * name, and the hash in the token file says which of the two is meant. */
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/vfs.h"
#include "data/tokens.h"

int
dpc_tokens_name_beside(const char *corpus, const char *file, char ret_path[DPC_PATH_MAX])
{
    const char *end = strrchr(corpus, '/');
    char folder[DPC_PATH_MAX];
    if (strcmp(end ? end + 1 : corpus, DPC_TOKENS_FILE) != 0)
        return dpc_path_join(corpus, file, ret_path, DPC_PATH_MAX);
    dpc_path_folder(corpus, folder, sizeof folder);
    return dpc_path_join(folder, file, ret_path, DPC_PATH_MAX);
}

/* DPC_ESTALE when it is another file than the one that is meant. */
static int
load(const struct dpc_hash *wanted, const char *path, uint8_t **ret_bytes, size_t *ret_len,
     struct dpc_error *err)
{
    struct dpc_hash hash;
    int code = dpc_vfs_read_file(&dpc_vfs_posix, path, DPC_TOKENIZER_FILE_BYTES_MAX, ret_bytes,
                                 ret_len, err);
    if (code != DPC_OK)
        return code;
    dpc_hash_of(*ret_bytes, *ret_len, &hash);
    if (dpc_hash_equal(&hash, wanted))
        return DPC_OK;
    *ret_bytes = dpc_free(*ret_bytes);
    return dpc_error_set(err, DPC_ESTALE,
                         "\"%s\" is not the tokenizer that the corpus was made with: import its "
                         "texts again",
                         path);
}

int
dpc_tokens_load_tokenizer(const struct dpc_tokens *tokens, uint8_t **ret_bytes, size_t *ret_len,
                          struct dpc_error *err)
{
    const struct dpc_hash *wanted = &dpc_tokens_vocabulary(tokens)->model;
    const char *corpus = dpc_tokens_name(tokens);
    char path[DPC_PATH_MAX], second[DPC_PATH_MAX];
    *ret_bytes = NULL;
    *ret_len = 0;
    if (dpc_hash_is_none(wanted))
        return DPC_OK;
    if (dpc_tokens_name_beside(corpus, DPC_TOKENIZER_FILE, path) != DPC_OK ||
        dpc_tokens_name_beside(corpus, DPC_TOKENIZER_FILE ".new", second) != DPC_OK)
        return dpc_error_set(err, DPC_ELIMIT, "the name of the corpus \"%s\" is too long", corpus);
    if (load(wanted, second, ret_bytes, ret_len, NULL) == DPC_OK)
        return DPC_OK;
    return load(wanted, path, ret_bytes, ret_len, err);
}

int
dpc_tokens_check_imported(const struct dpc_tokens *tokens, const char *folder,
                          struct dpc_error *err)
{
    const struct dpc_hash *wanted = &dpc_tokens_vocabulary(tokens)->model;
    char path[DPC_PATH_MAX];
    uint8_t *bytes;
    size_t len;
    if (dpc_path_join(folder, DPC_TOKENIZER_FILE, path, sizeof path) != DPC_OK ||
        !dpc_vfs_exists(&dpc_vfs_posix, path))
        return DPC_OK;
    int code = load(wanted, path, &bytes, &len, err);
    if (code == DPC_OK)
        dpc_free(bytes);
    if (code == DPC_ESTALE)
        code = dpc_error_set(err, DPC_EINVAL,
                             "\"%s\" makes other tokens than those of corpus \"%s\", which would "
                             "mean nothing to the model: import the texts with --tokenizer %s",
                             path, dpc_tokens_name(tokens), path);
    return code;
}
