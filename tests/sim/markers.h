/* SPDX-License-Identifier: Apache-2.0
 *
 * Rare paths that a campaign must have gone: one that never reaches one of them fails, for it has
 * shown nothing about it.
 *
 * Owns: nothing. Threads: constant.
 */
#ifndef DPC_TESTS_SIM_MARKERS_H
#define DPC_TESTS_SIM_MARKERS_H

#define SIM_MARKER_TABLE(X)                                                                        \
    X(BACKUP_GRANTED, "a backup lease was granted")                                                \
    X(BACKUP_WON, "a backup lease's submission came first")                                        \
    X(PATH_MOVED, "a path went on with another worker")                                            \
    X(SUPERSEDED, "a submission was told superseded")                                              \
    X(STALE_HEARTBEAT, "a heartbeat was told that its lease is gone")                              \
    X(MISSING, "a submission lacked blobs")                                                        \
    X(ACCEPTED_AGAIN, "an accepted submission came again")                                         \
    X(ACCEPTED_AGAIN_LATER, "an accepted submission came again after a restart")                   \
    X(LATE_SUBMISSION, "work from before a restart was accepted after it")                         \
    X(LEASE_AGAIN, "a lost lease was granted again to its holder")                                 \
    X(LEASE_RECLAIMED, "a hello reclaimed its lease")                                              \
    X(HELLO_VOIDED, "a hello without a lease voided one")                                          \
    X(OLD_PROCESS, "a message of a process that is gone arrived")                                  \
    X(STALE_TOKEN, "a submission's token named no lease")                                          \
    X(GIVEN_BACK, "a lease was given back")                                                        \
    X(LEFT, "a worker left")                                                                       \
    X(CRASH_BEFORE_COMMIT, "the coordinator ended before a commit")                                \
    X(CRASH_BEFORE_REPLY, "the coordinator ended between commit and reply")                        \
    X(CRASH_BEFORE_EFFECTS, "the coordinator ended between reply and effects")                     \
    X(EFFECT_LOST, "an effect under way was lost")                                                 \
    X(FOLD_AGAIN, "a lost outer step was asked for again")                                         \
    X(DENSE_AHEAD, "features were asked for while the dense path had gone on")                     \
    X(CLOCK_BACK, "a restarted coordinator's clock stood before the old one's")                    \
    X(COORDINATOR_SILENT, "a worker met a coordinator that was down")

#define X(name, text) SIM_MARK_##name,
enum sim_marker { SIM_MARKER_TABLE(X) SIM_MARKERS };
#undef X

/* What happened, in words. */
const char *sim_marker_text(enum sim_marker marker);

#endif
