/* SPDX-License-Identifier: Apache-2.0
 *
 * The programs and their subcommands, one file each (cmd_*.c, ctl_*.c). The mains, and the test
 * that compares them with the man pages, read these tables.
 *
 * Owns: constants. Threads: any.
 */
#ifndef DPC_CLI_COMMANDS_H
#define DPC_CLI_COMMANDS_H

#include "cli/command.h"

extern const struct dpc_program dpc_program_dipaco;
extern const struct dpc_program dpc_program_dipacoctl;

/* dipaco */
extern const struct dpc_command dpc_command_compare;
extern const struct dpc_command dpc_command_data_import;
extern const struct dpc_command dpc_command_data_info;
extern const struct dpc_command dpc_command_doctor;
extern const struct dpc_command dpc_command_eval;
extern const struct dpc_command dpc_command_export;
extern const struct dpc_command dpc_command_generate;
extern const struct dpc_command dpc_command_plan;
extern const struct dpc_command dpc_command_run;
extern const struct dpc_command dpc_command_serve;
extern const struct dpc_command dpc_command_version;

/* dipacoctl */
extern const struct dpc_command dpc_command_backup;
extern const struct dpc_command dpc_command_ledger;
extern const struct dpc_command dpc_command_modules;
extern const struct dpc_command dpc_command_paths;
extern const struct dpc_command dpc_command_rollback;
extern const struct dpc_command dpc_command_admit;
extern const struct dpc_command dpc_command_approve;
extern const struct dpc_command dpc_command_dismiss;
extern const struct dpc_command dpc_command_drain;
extern const struct dpc_command dpc_command_invitations;
extern const struct dpc_command dpc_command_invite;
extern const struct dpc_command dpc_command_members;
extern const struct dpc_command dpc_command_replay;
extern const struct dpc_command dpc_command_revoke;
extern const struct dpc_command dpc_command_status;
extern const struct dpc_command dpc_command_undrain;
extern const struct dpc_command dpc_command_versions;
extern const struct dpc_command dpc_command_why;
extern const struct dpc_command dpc_command_withdraw;
extern const struct dpc_command dpc_command_workers;

#endif
