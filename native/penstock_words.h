/* penstock words: the lists of penstock.h, which includes them: each word once, with its number and
 * what it means. Code, text and tables are made from them, so that they cannot diverge. */
#ifndef PENSTOCK_WORDS_H
#define PENSTOCK_WORDS_H

#define PSTK_STATUS_LIST(X)                                                                        \
    X(OK, 0, "done")                                                                               \
    X(E_ARGUMENT, 1, "an argument is out of its bounds")                                           \
    X(E_SYSTEM, 2, "the operating system refused; os_error holds errno")                           \
    X(E_LOCKED, 3, "another process holds the state directory")                                    \
    X(E_STATE, 4, "the state directory is unreadable, newer than this build, or not ours")         \
    X(E_FULL, 5, "a bounded table or the ring is full")                                            \
    X(E_FAILED, 6, "the engine has failed and must be closed")                                     \
    X(E_CLOSED, 7, "the engine is closed")                                                         \
    X(E_FORKED, 8, "the engine belongs to the parent process")                                     \
    X(E_UNSUPPORTED, 9, "not available in this build or on this machine")                          \
    X(E_MEMORY, 10, "memory could not be reserved at open")

/* Every way to lose a sample. received = used + sum of these, for each source. */
#define PSTK_DROP_LIST(X)                                                                          \
    X(MALFORMED, "malformed", "the frame or payload cannot be decoded")                            \
    X(OVERSIZE, "oversize", "the frame is larger than frame_bytes_max")                            \
    X(NAN, "nan", "the value is not a finite number")                                              \
    X(FUTURE, "future", "the stamp is more than future_max ahead of engine time")                  \
    X(TYPE, "type", "the tag has another type")                                                    \
    X(SOURCE, "source", "the tag belongs to another source")                                       \
    X(TAG_LIMIT, "tag_limit", "tags_max is reached")                                               \
    X(TAG_NAME, "tag_name", "the tag name is empty, too long or not UTF-8")                        \
    X(CODE_LIMIT, "code_limit", "the tag's dictionary of texts is full, or the text is too long")  \
    X(RANGE, "range", "the number or stamp does not fit its type")                                 \
    X(DUPLICATE, "duplicate", "this position is already in the journal")                           \
    X(STREAM_LIMIT, "stream_limit", "streams_max is reached")                                      \
    X(RING_FULL, "ring_full", "the ring is full and the source may not wait")                      \
    X(QUOTA, "quota", "the source holds its share of the ring")                                    \
    X(RESTART, "restart", "dropped just before the process died; the reason died with it")

/* What a window rule may ask for beyond count, sum, mean, min, max, first and last. */
#define PSTK_AGGREGATE_LIST(X)                                                                     \
    X(MIN_AT, 0, "min_at", "event time at which the least value was reached first")                \
    X(MAX_AT, 1, "max_at", "event time at which the greatest value was reached first")             \
    X(RANGE, 2, "range", "max - min")                                                              \
    X(VARIANCE, 3, "variance", "of the sample, n - 1")                                             \
    X(TW_MEAN, 4, "tw_mean", "mean weighted by the time each value held")                          \
    X(INTEGRAL, 5, "integral", "sum of value x seconds held")                                      \
    X(RATE, 6, "rate", "(last - first) / time between them, per second")                           \
    X(SHARE, 7, "share", "part of the window in which a listed state held")                        \
    X(COMPLETENESS, 8, "completeness", "samples seen against samples expected")                    \
    X(QUALITY_SHARE, 9, "quality_share", "part of the samples that was not bad")

#define PSTK_EVENT_KIND_LIST(X)                                                                    \
    X(LIMIT_HH_TRIP, "limit.HH.trip")                                                              \
    X(LIMIT_HH_CLEAR, "limit.HH.clear")                                                            \
    X(LIMIT_H_TRIP, "limit.H.trip")                                                                \
    X(LIMIT_H_CLEAR, "limit.H.clear")                                                              \
    X(LIMIT_L_TRIP, "limit.L.trip")                                                                \
    X(LIMIT_L_CLEAR, "limit.L.clear")                                                              \
    X(LIMIT_LL_TRIP, "limit.LL.trip")                                                              \
    X(LIMIT_LL_CLEAR, "limit.LL.clear")                                                            \
    X(LIMIT_CHATTERING, "limit.chattering")                                                        \
    X(COUNTER_SEGMENT, "counter.segment")                                                          \
    X(TOTAL_SEGMENT, "total.segment")                                                              \
    X(STATE_END, "state.end")                                                                      \
    X(WINDOW_CLOSE, "window.close")                                                                \
    X(RULE_RESTARTED, "rule.restarted")                                                            \
    X(STATE_ENTER, "state.enter")                                                                  \
    X(STATE_MICRO, "state.micro")                                                                  \
    X(LIMIT_HH_REALARM, "limit.HH.realarm")                                                        \
    X(LIMIT_H_REALARM, "limit.H.realarm")                                                          \
    X(LIMIT_L_REALARM, "limit.L.realarm")                                                          \
    X(LIMIT_LL_REALARM, "limit.LL.realarm")                                                        \
    X(RATE_HH_TRIP, "rate.HH.trip")                                                                \
    X(RATE_HH_CLEAR, "rate.HH.clear")                                                              \
    X(RATE_H_TRIP, "rate.H.trip")                                                                  \
    X(RATE_H_CLEAR, "rate.H.clear")                                                                \
    X(RATE_L_TRIP, "rate.L.trip")                                                                  \
    X(RATE_L_CLEAR, "rate.L.clear")                                                                \
    X(RATE_LL_TRIP, "rate.LL.trip")                                                                \
    X(RATE_LL_CLEAR, "rate.LL.clear")                                                              \
    X(RATE_HH_REALARM, "rate.HH.realarm")                                                          \
    X(RATE_H_REALARM, "rate.H.realarm")                                                            \
    X(RATE_L_REALARM, "rate.L.realarm")                                                            \
    X(RATE_LL_REALARM, "rate.LL.realarm")                                                          \
    X(RATE_CHATTERING, "rate.chattering")                                                          \
    X(STUCK_TRIP, "stuck.trip")                                                                    \
    X(STUCK_CLEAR, "stuck.clear")                                                                  \
    X(STUCK_CHATTERING, "stuck.chattering")                                                        \
    X(FRESHNESS_TRIP, "freshness.trip")                                                            \
    X(FRESHNESS_CLEAR, "freshness.clear")                                                          \
    X(FRESHNESS_CHATTERING, "freshness.chattering")                                                \
    X(ALARM_ACKNOWLEDGED, "alarm.acknowledged")                                                    \
    X(ALARM_SHELVED, "alarm.shelved")                                                              \
    X(ALARM_UNSHELVED, "alarm.unshelved")                                                          \
    X(GAP_LOST, "gap.lost")

#define PSTK_FLAG_LIST(X)                                                                          \
    X(PARTIAL, 0, "partial", "the interval began before the engine saw it")                        \
    X(INCOMPLETE, 1, "incomplete",                                                                 \
      "samples of the interval are missing: the source was down or a gap was counted")             \
    X(BRIDGED, 2, "bridged",                                                                       \
      "a gap lies inside, but a cumulative register gives the quantity across it")                 \
    X(ROLLOVER, 3, "rollover", "the register rolled over inside")                                  \
    X(RESET, 4, "reset",                                                                           \
      "the register was reset inside; what it counted between the last reading and the reset is "  \
      "unknown")                                                                                   \
    X(MICRO, 5, "micro", "a stop shorter than min_duration")                                       \
    X(CUT_LATE, 6, "cut_late", "the cut was told after the watermark had passed it")               \
    X(CLOCK_REGRESS, 7, "clock_regress", "the stream's clock went back; closed early")             \
    X(BASELINE, 8, "baseline", "starts where the last document ended, as the ledger says")         \
    X(UNKNOWN_LOT, 9, "unknown_lot", "which lot made this quantity is not known")                  \
    X(REPLACED_QUALITY, 10, "uncertain", "a sample of uncertain quality took part")                \
    X(CORRECTED, 11, "corrected", "the register went back inside, and the quantity with it")       \
    X(BAD_QUALITY, 12, "bad_quality", "the sample was of bad quality, and the rule trips by that") \
    X(OPERATOR, 13, "operator", "a person ended it")

#endif
