/* SPDX-License-Identifier: Apache-2.0
 *
 * Is a text UTF-8? Import counts those that are not; nothing is changed.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_DATA_UTF8_H
#define DPC_DATA_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Well-formed by RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool dpc_utf8_valid(const uint8_t *text, size_t len);

#endif
