#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The scale mode in small: it must end, and the core rebuilt from RocksDB must be the same one.
exec tests/sim/sim --scale --side 12 --workers 200
