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
    X(REPLICA, "a replica of the dense path trained a round of the warm start")                    \
    X(REPLICA_IDLE, "there was no warm start for a replica to train")                              \
    X(ROUTED_ANEW, "documents were routed anew between two rounds")                                \
    X(REROUTED, "new routes at evaluation were found")                                             \
    X(ROUTED_BY_SOME, "some of the paths were asked to score a document, not all")                 \
    X(CLOCK_BACK, "a restarted coordinator's clock stood before the old one's")                    \
    X(COORDINATOR_SILENT, "a worker met a coordinator that was down")                              \
    X(COMPARED, "a second submission of a task was held against the first")                        \
    X(ALARM, "a second submission with other bits raised the alarm")                               \
    X(NOTICE_SUFFICED, "a preempted worker had left before its machine went")                      \
    X(NOTICE_TOO_SHORT, "a preempted worker's machine went while it was still busy")               \
    X(CLOCK_JUMPED, "the coordinator's clock jumped ahead while leases were out")                  \
    X(WORKER_CLOCK_JUMPED, "a worker's clock jumped ahead in the middle of its work")              \
    X(END_IN_OPERATION, "the coordinator ended inside a disk operation")                           \
    X(END_AT_OPENING, "the coordinator ended while it opened its store")                           \
    X(UNKNOWN_COMMIT, "a commit that failed was on disk after all")                                \
    X(POWER_LOST, "the coordinator's machine lost power")                                          \
    X(TORN, "a power loss tore a file of the coordinator's")                                       \
    X(PAUSED, "a full disk paused the coordinator")                                                \
    X(WENT_ON, "with room again it went on")                                                       \
    X(JOB_AGAIN, "a job that a full disk put off was done again")                                  \
    X(FULL, "a database that met a full disk ended the coordinator")                               \
    X(SYNC_FAILED, "a failed sync ended the coordinator")                                          \
    X(READ_FAILED, "a failed read ended the coordinator")                                          \
    X(FLIP_FOUND, "the coordinator found a flipped bit")                                           \
    X(LOST_WRITES_REFUSED, "a store that had lost acknowledged writes was refused")                \
    X(WORKER_END_IN_OPERATION, "a worker ended inside a disk operation")                           \
    X(WORKER_TORN, "a power loss tore a file of a worker's")                                       \
    X(WORKER_DISK_LOST, "a worker came back with an empty disk")                                   \
    X(WORKER_FULL, "a worker's disk was full")                                                     \
    X(WORKER_SYNC_FAILED, "a failed sync ended a worker")                                          \
    X(WORKER_FLIP_FOUND, "a worker found a flipped bit in its cache")                              \
    X(FLIP_STOPPED, "a flipped bit was found on arrival")                                          \
    X(STEPS_TAKEN_UP, "a restarted worker went on in the middle of a lease")                       \
    X(RESULT_TAKEN_UP, "a restarted worker handed in what the last process had computed")          \
    X(CUT, "a worker that had to go handed in a part")                                             \
    X(STATE_KEPT, "a worker trained on with the path state that it had kept")                      \
    X(LEASE_KEPT, "a worker that was told to stop kept its lease")                                 \
    X(HANDED_IN_BESIDE, "a result was uploaded while the next lease was computed")                 \
    X(BOTH_TAKEN_UP, "a restarted worker took up two leases")                                      \
    X(WAITED_FOR_ROOM, "a lease waited until the one before it left the cache")                    \
    X(CACHE_SUFFICED, "a lease needed nothing from the coordinator")                               \
    X(VERSION_MADE, "a version was made of the one before and a difference")                       \
    X(CHANGE_GONE, "a difference was gone, and versions were fetched whole")                       \
    X(SWEPT, "blobs that nothing needed were removed")                                             \
    X(LET_ALONE, "a path whose round failed everywhere was let alone")                             \
    X(ROLLED_BACK, "a module got the content of an older version")                                 \
    X(ROLLBACK_VOIDED, "a rollback voided leases")                                                 \
    X(ROLLBACK_CLOSED, "a rollback ended a round with nothing merged")                             \
    X(PARTLY_MERGED, "an outer step left out what was learned from a discarded version")           \
    X(LISTED, "paths were a list with holes or replicas")                                          \
    X(LEVEL_SKIPPED, "a path that goes straight on at a level was leased")                         \
    X(TOO_LARGE, "a worker had no memory for a path")                                              \
    X(ROUND_SKIPPED, "a path does not train in the first round")                                   \
    X(PART, "a part of a round was accepted")                                                      \
    X(WENT_ON_FROM_PART, "a lease went on where a part of the round had ended")                    \
    X(PART_MERGED, "an outer step took a part of a round")                                         \
    X(MISSED, "a path missed a round")                                                             \
    X(LATE_MERGED, "an outer step took what came a round late")                                    \
    X(TOO_LATE, "what came after its module had closed was not merged there")                      \
    X(IN_TIME_ELSEWHERE, "what came late for one module was in time for another")                  \
    X(BARRED, "the operator barred a worker")                                                      \
    X(BARRED_REFUSED, "what a barred worker handed in was refused")                                \
    X(ADMITTED, "a barred worker was taken in again")                                              \
    X(FORGOTTEN, "a worker that was away made room for another")                                   \
    X(KNOWN_AGAIN, "a worker that had been forgotten came again")                                  \
    X(DRAINED, "the operator drained a worker that held a lease")                                  \
    X(UNDRAINED, "a drained worker was wanted again")                                              \
    X(DRAINED_WAITS, "a drained worker was told to wait")                                          \
    X(DRAINED_ACCEPTED, "what a drained worker still held was accepted")                           \
    X(WHY_PAUSED, "a worker waited since its leases had come to nothing")                          \
    X(WHY_TOO_LARGE, "a worker waited since nothing fitted its memory")                            \
    X(REVOKED, "what a worker handed in was taken out")                                            \
    X(REVOKE_REFUSED, "what it took to revoke was not kept any more")                              \
    X(REVOKE_AGAIN, "a revoke was asked for again after the coordinator had ended")                \
    X(REVOKE_WENT_BACK, "a revoke went back to where the round began")                             \
    X(REFOLDED, "a module was folded again without what was revoked")                              \
    X(REPLAYED, "at the end a version came out of its contributions again")                        \
    X(FORKED, "a fork was made of what a coordinator had left")                                    \
    X(REFOLD_STALE, "a module had moved on while it was folded again")                             \
    X(VOIDED, "what was revoked before it was merged stayed out")                                  \
    X(AUDIT_GRANTED, "an accepted task was given out again")                                       \
    X(AUDITED, "an audit brought the same bits")                                                   \
    X(AUDIT_DIFFERED, "an audit brought other bits")                                               \
    X(AUDIT_BARRED, "an audit barred a worker")                                                    \
    X(RATED, "a round was evaluated for early stopping")                                           \
    X(RATED_BEHIND, "a round was evaluated when modules had gone on")                              \
    X(BEST_OLDER, "a path takes another round than its last")                                      \
    X(BEST_DISCARDED, "a rollback discarded the round that a path had taken")                      \
    X(IMPORTED, "paths began as a model that came trained")

#define X(name, text) SIM_MARK_##name,
enum sim_marker { SIM_MARKER_TABLE(X) SIM_MARKERS };
#undef X

/* What happened, in words. */
const char *sim_marker_text(enum sim_marker marker);

#endif
