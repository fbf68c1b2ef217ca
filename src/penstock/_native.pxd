# Generated from native/penstock.h by tools/pxd.py; do not edit.
from libc.stdint cimport (int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t)

cdef extern from "penstock.h" nogil:
    cdef struct ArrowSchema:
        void (*release)(ArrowSchema *)
    cdef struct ArrowArray:
        void (*release)(ArrowArray *) noexcept
    cdef struct ArrowArrayStream:
        int (*get_schema)(ArrowArrayStream *, ArrowSchema *out) noexcept
        int (*get_next)(ArrowArrayStream *, ArrowArray *out) noexcept
        const char *(*get_last_error)(ArrowArrayStream *) noexcept
        void (*release)(ArrowArrayStream *) noexcept
    enum: PSTK_ABI_VERSION
    enum: PSTK_NAME_BYTES
    enum: PSTK_RULE_NAME_BYTES
    enum: PSTK_CONTEXT_BYTES
    enum: PSTK_SUBJECTS_MAX
    enum: PSTK_SOURCES_MAX
    enum: PSTK_RULES_MAX
    enum: PSTK_STATES_MAX
    enum: PSTK_CUT_LOT_TAG
    enum: PSTK_CUT_ORDER_TAG
    enum: PSTK_CUT_CONTEXT_ORDER
    enum: PSTK_CUT_CONTEXT_LOT
    enum: PSTK_BATCH_ROWS_MAX
    enum: PSTK_BATCH_COLUMNS_MAX
    const int64_t PSTK_TIME_NONE
    ctypedef enum pstk_status:
        PSTK_OK
        PSTK_E_ARGUMENT
        PSTK_E_SYSTEM
        PSTK_E_LOCKED
        PSTK_E_STATE
        PSTK_E_FULL
        PSTK_E_FAILED
        PSTK_E_CLOSED
        PSTK_E_FORKED
        PSTK_E_UNSUPPORTED
        PSTK_E_MEMORY
    ctypedef struct pstk_error:
        int32_t status
        int32_t os_error
        char text[248]
    ctypedef enum pstk_type:
        PSTK_TYPE_NONE
        PSTK_TYPE_F64
        PSTK_TYPE_I64
        PSTK_TYPE_BOOL
        PSTK_TYPE_CODE
    ctypedef union pstk_value:
        double f64
        int64_t i64
        uint64_t bits
    ctypedef struct pstk_sample:
        int64_t time_ns
        pstk_value value
        uint32_t tag_id
        uint16_t quality
        uint16_t flags
    ctypedef enum pstk_drop:
        PSTK_DROP_MALFORMED
        PSTK_DROP_OVERSIZE
        PSTK_DROP_NAN
        PSTK_DROP_FUTURE
        PSTK_DROP_TYPE
        PSTK_DROP_SOURCE
        PSTK_DROP_TAG_LIMIT
        PSTK_DROP_TAG_NAME
        PSTK_DROP_CODE_LIMIT
        PSTK_DROP_RANGE
        PSTK_DROP_DUPLICATE
        PSTK_DROP_STREAM_LIMIT
        PSTK_DROP_RING_FULL
        PSTK_DROP_QUOTA
        PSTK_DROP_RESTART
        PSTK_DROP_COUNT
    ctypedef enum pstk_source_kind:
        PSTK_SOURCE_FEED
        PSTK_SOURCE_ZMQ_PULL
        PSTK_SOURCE_ZMQ_SUB
        PSTK_SOURCE_NATS
        PSTK_SOURCE_REPLAY
    ctypedef enum pstk_format:
        PSTK_FORMAT_PACKED
        PSTK_FORMAT_JSON
    ctypedef enum pstk_full:
        PSTK_FULL_BLOCK
        PSTK_FULL_DROP
    ctypedef struct pstk_source_options:
        char name[64]
        uint16_t kind
        uint16_t format
        uint8_t is_bind
        uint8_t full
        uint16_t port
        uint16_t subject_count
        uint16_t reserved
        char host[256]
        char user[128]
        char password[256]
        char token[256]
        char subjects[16][128]
        int64_t lateness_ns
        int64_t idle_after_ns
        int64_t future_max_ns
        int64_t heartbeat_ns
        int64_t handshake_ns_max
        int64_t reconnect_ns_min
        int64_t reconnect_ns_max
        int64_t coalesce_ns
        uint32_t frame_bytes_max
        uint32_t connections_max
        double ring_share
    ctypedef enum pstk_event_kind:
        PSTK_EVENT_LIMIT_HH_TRIP
        PSTK_EVENT_LIMIT_HH_CLEAR
        PSTK_EVENT_LIMIT_H_TRIP
        PSTK_EVENT_LIMIT_H_CLEAR
        PSTK_EVENT_LIMIT_L_TRIP
        PSTK_EVENT_LIMIT_L_CLEAR
        PSTK_EVENT_LIMIT_LL_TRIP
        PSTK_EVENT_LIMIT_LL_CLEAR
        PSTK_EVENT_LIMIT_CHATTERING
        PSTK_EVENT_COUNTER_SEGMENT
        PSTK_EVENT_TOTAL_SEGMENT
        PSTK_EVENT_STATE_END
        PSTK_EVENT_WINDOW_CLOSE
        PSTK_EVENT_RULE_RESTARTED
        PSTK_EVENT_STATE_ENTER
        PSTK_EVENT_STATE_MICRO
        PSTK_EVENT_LIMIT_HH_REALARM
        PSTK_EVENT_LIMIT_H_REALARM
        PSTK_EVENT_LIMIT_L_REALARM
        PSTK_EVENT_LIMIT_LL_REALARM
        PSTK_EVENT_RATE_HH_TRIP
        PSTK_EVENT_RATE_HH_CLEAR
        PSTK_EVENT_RATE_H_TRIP
        PSTK_EVENT_RATE_H_CLEAR
        PSTK_EVENT_RATE_L_TRIP
        PSTK_EVENT_RATE_L_CLEAR
        PSTK_EVENT_RATE_LL_TRIP
        PSTK_EVENT_RATE_LL_CLEAR
        PSTK_EVENT_RATE_HH_REALARM
        PSTK_EVENT_RATE_H_REALARM
        PSTK_EVENT_RATE_L_REALARM
        PSTK_EVENT_RATE_LL_REALARM
        PSTK_EVENT_RATE_CHATTERING
        PSTK_EVENT_STUCK_TRIP
        PSTK_EVENT_STUCK_CLEAR
        PSTK_EVENT_STUCK_CHATTERING
        PSTK_EVENT_FRESHNESS_TRIP
        PSTK_EVENT_FRESHNESS_CLEAR
        PSTK_EVENT_FRESHNESS_CHATTERING
        PSTK_EVENT_ALARM_ACKNOWLEDGED
        PSTK_EVENT_ALARM_SHELVED
        PSTK_EVENT_ALARM_UNSHELVED
        PSTK_EVENT_GAP_LOST
        PSTK_EVENT_KIND_COUNT
    cdef enum:
        PSTK_FLAG_PARTIAL
        PSTK_FLAG_INCOMPLETE
        PSTK_FLAG_BRIDGED
        PSTK_FLAG_ROLLOVER
        PSTK_FLAG_RESET
        PSTK_FLAG_MICRO
        PSTK_FLAG_CUT_LATE
        PSTK_FLAG_CLOCK_REGRESS
        PSTK_FLAG_BASELINE
        PSTK_FLAG_UNKNOWN_LOT
        PSTK_FLAG_REPLACED_QUALITY
        PSTK_FLAG_CORRECTED
        PSTK_FLAG_BAD_QUALITY
        PSTK_FLAG_OPERATOR
    ctypedef struct pstk_context_values:
        char order[32]
        char operation[16]
        char material[32]
        char lot[32]
        char shift[16]
    ctypedef struct pstk_event_figures:
        uint32_t asked
        uint32_t reserved
        double variance
        double tw_mean
        double integral
        double rate
        double share
        double completeness
        double quality_share
    ctypedef struct pstk_event:
        uint8_t id[16]
        uint8_t digest[16]
        uint64_t seq
        uint64_t pos
        int64_t engine_time_ns
        int64_t at_ns
        int64_t start_ns
        int64_t end_ns
        pstk_value value
        pstk_value start_reading
        pstk_value end_reading
        double limit
        double sum
        double min
        double max
        double first
        double last
        uint64_t count
        uint32_t rule
        uint32_t tag
        uint32_t asset
        uint32_t occurrence
        uint32_t time_epoch
        uint32_t revision
        uint32_t flags
        uint16_t kind
        uint8_t value_type
        uint8_t config_gen_low
        pstk_context_values context
        pstk_event_figures figures
    ctypedef struct pstk_result:
        int64_t start_ns
        int64_t end_ns
        uint64_t count
        double sum
        double mean
        double min
        double max
        double first
        double last
        uint32_t rule
        uint32_t tag
        uint32_t flags
        uint32_t revision
        uint64_t more
    ctypedef struct pstk_aggregates:
        int64_t min_ns
        int64_t max_ns
        double range
        double variance
        double tw_mean
        double integral
        double rate
        double share
        double completeness
        double quality_share
    ctypedef enum pstk_rule_kind:
        PSTK_RULE_LIMIT
        PSTK_RULE_COUNTER
        PSTK_RULE_TOTAL
        PSTK_RULE_STATE
        PSTK_RULE_WINDOW
        PSTK_RULE_RATE
        PSTK_RULE_STUCK
        PSTK_RULE_FRESHNESS
        PSTK_RULE_GAP
    ctypedef enum pstk_role:
        PSTK_ROLE_VALUE
        PSTK_ROLE_LOT
        PSTK_ROLE_ORDER
        PSTK_ROLE_START
        PSTK_ROLE_SINCE
        PSTK_ROLE_COUNT
    ctypedef enum pstk_level:
        PSTK_LEVEL_HH
        PSTK_LEVEL_H
        PSTK_LEVEL_L
        PSTK_LEVEL_LL
        PSTK_LEVEL_COUNT
    ctypedef enum pstk_order:
        PSTK_ORDER_DEFAULT
        PSTK_ORDER_ARRIVAL
        PSTK_ORDER_EVENT
    ctypedef enum pstk_quality:
        PSTK_QUALITY_HOLD
        PSTK_QUALITY_TRIP
        PSTK_QUALITY_SUPPRESS
    ctypedef enum pstk_output:
        PSTK_EMIT_EVENT
        PSTK_EMIT_RESULT
    ctypedef enum pstk_negative:
        PSTK_NEGATIVE_RESET
        PSTK_NEGATIVE_SUBTRACT
        PSTK_NEGATIVE_IGNORE
    ctypedef enum pstk_state_on:
        PSTK_ON_END
        PSTK_ON_ENTER
        PSTK_ON_BOTH
    ctypedef enum pstk_micro:
        PSTK_MICRO_FLAG
        PSTK_MICRO_DROP
        PSTK_MICRO_FOLD
    cdef enum:
        PSTK_AGGREGATE_MIN_AT
        PSTK_AGGREGATE_MAX_AT
        PSTK_AGGREGATE_RANGE
        PSTK_AGGREGATE_VARIANCE
        PSTK_AGGREGATE_TW_MEAN
        PSTK_AGGREGATE_INTEGRAL
        PSTK_AGGREGATE_RATE
        PSTK_AGGREGATE_SHARE
        PSTK_AGGREGATE_COMPLETENESS
        PSTK_AGGREGATE_QUALITY_SHARE
    ctypedef struct pstk_limit_level:
        uint8_t is_set
        uint8_t reserved[7]
        double value
        double deadband
        int64_t on_delay_ns
        int64_t off_delay_ns
        int64_t re_alarm_ns
    ctypedef struct pstk_rule:
        char name[64]
        char series[16]
        char unit[16]
        char pattern[PSTK_ROLE_COUNT][96]
        char asset[96]
        uint16_t kind
        uint16_t order
        uint8_t emit
        uint8_t cut_on
        uint8_t emits_zero
        uint8_t quality
        uint32_t events_per_minute_max
        pstk_limit_level level[PSTK_LEVEL_COUNT]
        double rollover
        int64_t size_ns
        int64_t offset_ns
        int64_t since_unit_ns
        int64_t rate_unit_ns
        int64_t min_duration_ns
        int64_t micro_every_ns
        int64_t span_ns
        int64_t after_ns
        double band
        int64_t hop_ns
        int64_t session_gap_ns
        int64_t session_max_ns
        int64_t expected_ns
        int64_t correct_ns
        uint32_t count_n
        uint32_t aggregates
        char source[64]
        uint64_t lost_min
        char suppress_tag[96]
        char suppress_by[64]
        uint32_t state_count
        uint8_t is_any_state
        uint8_t state_on
        uint8_t micro
        uint8_t negative
        int64_t state_code[16]
        char state_text[16][32]
    ctypedef enum pstk_clock_kind:
        PSTK_CLOCK_SYSTEM
        PSTK_CLOCK_MANUAL
    ctypedef enum pstk_durability:
        PSTK_DURABILITY_PROCESS
        PSTK_DURABILITY_POWER
    ctypedef struct pstk_engine_options:
        uint32_t abi_version
        uint32_t clock
        char plant[64]
        char state_dir[512]
        char ring_dir[512]
        uint64_t ring_bytes
        uint32_t tags_max
        uint32_t instances_max
        uint32_t streams_max
        uint32_t assets_max
        uint32_t event_slots
        uint32_t result_slots
        uint32_t reorder_slots
        uint32_t codes_max
        int64_t checkpoint_ns
        uint32_t durability
        uint32_t reserved0
        int64_t sync_ns
        uint64_t journal_bytes_max
        uint64_t reserved[5]
    ctypedef struct pstk_engine:
        pass
    ctypedef struct pstk_feed:
        uint32_t source
        uint32_t reserved
        uint64_t position
        int64_t recv_time_ns
        size_t count
        const uint32_t *tag_ids
        const int64_t *time_ns
        const uint64_t *values
        const uint16_t *quality
    ctypedef struct pstk_feed_result:
        uint64_t used
        uint64_t dropped
    ctypedef struct pstk_context:
        char asset[96]
        int64_t at_ns
        uint32_t set
        uint32_t reserved
        pstk_context_values values
    ctypedef struct pstk_baseline:
        char rule[64]
        char series[16]
        char tag[96]
        int64_t end_ns
        pstk_value end_reading
        uint32_t value_type
        uint32_t reserved
    ctypedef enum pstk_action:
        PSTK_ACTION_ACKNOWLEDGE
        PSTK_ACTION_SHELVE
        PSTK_ACTION_UNSHELVE
        PSTK_ACTION_RESET
    ctypedef struct pstk_operation:
        char rule[64]
        char tag[96]
        char by[32]
        char note[96]
        int64_t at_ns
        int64_t until_ns
        uint32_t action
        uint32_t reserved
    ctypedef struct pstk_alarm:
        char rule[64]
        char tag[96]
        int64_t since_ns
        int64_t shelved_until_ns
        pstk_value value
        uint16_t kind
        uint8_t level
        uint8_t value_type
        uint8_t is_active
        uint8_t is_acknowledged
        uint8_t is_suppressed
        uint8_t reserved
    ctypedef struct pstk_source_stats:
        char name[64]
        uint64_t received
        uint64_t used
        uint64_t dropped[PSTK_DROP_COUNT]
        uint64_t lost_upstream
        uint64_t frames
        uint64_t bytes
        uint64_t connections
        uint64_t reconnects
        uint64_t protocol_errors
        uint64_t late
        uint64_t out_of_order
        uint64_t sent_upstream
        uint8_t is_numbered
        uint8_t is_up
        uint8_t reserved[6]
    ctypedef struct pstk_stats:
        uint64_t written
        uint64_t judged
        uint64_t checkpointed
        uint64_t saved
        uint64_t ring_bytes
        uint64_t tags
        uint64_t instances
        uint64_t streams
        uint64_t assets
        uint64_t instances_refused
        uint64_t instances_mistyped
        uint64_t events
        uint64_t events_pending
        uint64_t events_polled
        uint64_t results
        uint64_t results_overwritten
        uint64_t late
        uint64_t out_of_order
        uint64_t reorder_overflow
        uint64_t chattering
        uint64_t micro_dropped
        uint64_t suppressed
        uint64_t checkpoints
        uint64_t checkpoint_ns_max
        uint64_t ticks
        uint64_t blocks
        uint64_t redelivered
        int64_t engine_time_ns
        uint32_t config_gen
        uint8_t is_failed
        uint8_t is_event_ring_full
        uint8_t is_cold_start
        uint8_t is_disk_full
        uint64_t durable
        uint64_t journal_bytes
        uint64_t disk_full_waits
        uint64_t disk_written
        uint64_t captured
        uint64_t capture_missed
        uint64_t is_capture_stopped
    uint32_t pstk_abi_version()
    const char *pstk_version()
    int64_t pstk_built_ns()
    const char *pstk_status_text(int status)
    const char *pstk_drop_name(int reason)
    const char *pstk_event_kind_name(int kind)
    const char *pstk_alarm_level(const pstk_alarm *alarm)
    const char *pstk_event_by(const pstk_event *event)
    int pstk_event_group(const pstk_event *event, char *out_name, size_t capacity)
    const char *pstk_flag_name(int bit)
    int pstk_has_crash_points()
    int pstk_engine_open(const pstk_engine_options *options, const pstk_source_options *sources, size_t source_count, const pstk_rule *rules, size_t rule_count, pstk_engine **out_engine, pstk_error *err)
    int pstk_engine_start(pstk_engine *engine, pstk_error *err)
    int pstk_engine_close(pstk_engine *engine, pstk_error *err)
    void pstk_engine_free(pstk_engine *engine)
    int pstk_engine_tag(pstk_engine *engine, uint32_t source, const char *name, size_t name_bytes, int type, uint32_t *out_tag, pstk_error *err)
    int pstk_engine_feed(pstk_engine *engine, const pstk_feed *feed, pstk_feed_result *out_result, pstk_error *err)
    int pstk_engine_feed_frame(pstk_engine *engine, uint32_t source, const uint8_t *subject, size_t subject_bytes, const uint8_t *payload, size_t payload_bytes, uint64_t position, int64_t recv_time_ns, pstk_feed_result *out_result, pstk_error *err)
    int pstk_engine_tick(pstk_engine *engine, int64_t now_ns, pstk_error *err)
    int pstk_engine_context(pstk_engine *engine, const pstk_context *context, pstk_error *err)
    int pstk_engine_baseline(pstk_engine *engine, const pstk_baseline *baseline, pstk_error *err)
    int pstk_engine_operate(pstk_engine *engine, const pstk_operation *operation, pstk_error *err)
    int pstk_engine_alarms(pstk_engine *engine, pstk_alarm *out_alarms, size_t capacity, size_t *out_count, pstk_error *err)
    int pstk_engine_reconfigure(pstk_engine *engine, const pstk_rule *rules, size_t rule_count, pstk_error *err)
    int pstk_engine_position(pstk_engine *engine, uint32_t source, uint64_t *out_position, pstk_error *err)
    int pstk_engine_event_fd(const pstk_engine *engine)
    int pstk_engine_poll(pstk_engine *engine, pstk_event *out_events, size_t capacity, size_t *out_count, pstk_error *err)
    int pstk_engine_acknowledge(pstk_engine *engine, uint64_t seq, pstk_error *err)
    int pstk_engine_rewind(pstk_engine *engine, pstk_error *err)
    int pstk_engine_results(pstk_engine *engine, pstk_result *out_results, pstk_aggregates *out_aggregates, size_t capacity, size_t *out_count, pstk_error *err)
    int pstk_engine_checkpoint(pstk_engine *engine, int to_disk, pstk_error *err)
    int pstk_engine_notice(const pstk_engine *engine, char *out_text, size_t capacity)
    int pstk_engine_stats(pstk_engine *engine, pstk_stats *out_stats)
    int pstk_engine_port(pstk_engine *engine, uint32_t source)
    int pstk_engine_source_stats(pstk_engine *engine, uint32_t source, pstk_source_stats *out_stats)
    int pstk_engine_tag_name(pstk_engine *engine, uint32_t tag, char *out_name, size_t capacity)
    int pstk_engine_tag_type(pstk_engine *engine, uint32_t tag)
    int pstk_engine_rule_name(pstk_engine *engine, uint32_t rule, char *out_name, size_t capacity, char *out_series, size_t series_capacity)
    int pstk_engine_asset_name(pstk_engine *engine, uint32_t asset, char *out_name, size_t capacity)
    int pstk_engine_code_text(pstk_engine *engine, uint32_t tag, int64_t code, char *out_text, size_t capacity)
    int pstk_engine_evidence(pstk_engine *engine, uint32_t tag, uint64_t pos, size_t before_max, size_t after_max, pstk_sample *out_samples, size_t *out_before, size_t *out_count, pstk_error *err)
    size_t pstk_samples_pack(const pstk_sample *samples, size_t count, int type, uint8_t *out)
    ctypedef struct pstk_batch:
        pass
    ctypedef struct pstk_column:
        char name[32]
        char format[8]
        uint32_t value_bytes
        uint32_t reserved
        uint64_t count
        uint64_t null_count
        const uint8_t *validity
        const void *values
        const int32_t *offsets
        const pstk_column *names
    int pstk_engine_take_results(pstk_engine *engine, size_t most, pstk_batch **out_batch, pstk_error *err)
    int pstk_batch_make(const pstk_column *columns, size_t column_count, uint64_t rows, pstk_batch **out_batch, pstk_error *err)
    void pstk_batch_retain(pstk_batch *batch)
    void pstk_batch_release(pstk_batch *batch)
    uint64_t pstk_batch_rows(const pstk_batch *batch)
    const pstk_column *pstk_batch_column(const pstk_batch *batch, size_t index)
    int pstk_batch_export(pstk_batch *batch, ArrowSchema *out_schema, ArrowArray *out_array, pstk_error *err)
    int pstk_batch_export_stream(pstk_batch *batch, ArrowArrayStream *out_stream, pstk_error *err)
    int pstk_batch_import(const ArrowSchema *schema, ArrowArray *array, pstk_batch **out_batch, pstk_error *err)
    int pstk_batch_import_stream(ArrowArrayStream *stream, pstk_batch **out_batch, pstk_error *err)
    int pstk_column_import(const ArrowSchema *schema, const ArrowArray *array, pstk_column *out_column, pstk_error *err)
    int pstk_engine_capture(pstk_engine *engine, const char *folder, uint64_t bytes_max, pstk_error *err)
    int pstk_ring_capture(const pstk_engine_options *options, const char *ring_folder, const char *folder, pstk_error *err)
    ctypedef struct pstk_capture:
        pass
    ctypedef struct pstk_capture_span:
        char plant[64]
        int64_t first_ns
        int64_t last_ns
        uint64_t pos
        uint64_t end
        uint64_t blocks
        uint64_t samples
        uint64_t bytes
        uint64_t missed
        uint64_t missed_before
        uint8_t journal_id[16]
        uint8_t is_cut
        uint8_t reserved[7]
    int pstk_capture_open(const char *path, pstk_capture **out_capture, pstk_error *err)
    void pstk_capture_close(pstk_capture *capture)
    void pstk_capture_look(pstk_capture *capture, pstk_capture_span *out_span)
    ctypedef struct pstk_replayed:
        uint64_t samples
        uint64_t dropped
        uint64_t blocks
        uint64_t skipped
        uint64_t left
        int64_t engine_time_ns
        uint8_t is_done
        uint8_t is_cut
        uint8_t is_held
        uint8_t reserved[5]
    int pstk_engine_replay(pstk_engine *engine, pstk_capture *capture, uint64_t bytes_max, pstk_replayed *out_replayed, pstk_error *err)

cdef extern from *:
    """
    #include <stddef.h>
    #include "penstock.h"
    typedef struct pstk_field { /* a table ends with a field without a name */
        const char *name;
        const struct pstk_field *inner; /* of a structure within */
        uint32_t at, bytes, count;      /* bytes of one element; a text is one element */
        char kind; /* as in struct: s B H I Q b h i q d; v pstk_value, T inner */
        char is_array;
    } pstk_field;
    #define PSTK_FIELD(type, field, element, kind, inner, is_array) \
        {#field, inner, offsetof(type, field), sizeof(((type *)0)->element), \
         sizeof(((type *)0)->field) / sizeof(((type *)0)->element), kind, is_array}
    static const pstk_field pstk_fields_pstk_error[] = {
        PSTK_FIELD(pstk_error, status, status, 'i', 0, 0),
        PSTK_FIELD(pstk_error, os_error, os_error, 'i', 0, 0),
        PSTK_FIELD(pstk_error, text, text, 's', 0, 0),
        {0},
    };
    static const pstk_field pstk_fields_pstk_sample[] = {
        PSTK_FIELD(pstk_sample, time_ns, time_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_sample, value, value, 'v', 0, 0),
        PSTK_FIELD(pstk_sample, tag_id, tag_id, 'I', 0, 0),
        PSTK_FIELD(pstk_sample, quality, quality, 'H', 0, 0),
        PSTK_FIELD(pstk_sample, flags, flags, 'H', 0, 0),
        {0},
    };
    static const pstk_field pstk_fields_pstk_source_options[] = {
        PSTK_FIELD(pstk_source_options, name, name, 's', 0, 0),
        PSTK_FIELD(pstk_source_options, kind, kind, 'H', 0, 0),
        PSTK_FIELD(pstk_source_options, format, format, 'H', 0, 0),
        PSTK_FIELD(pstk_source_options, is_bind, is_bind, 'B', 0, 0),
        PSTK_FIELD(pstk_source_options, full, full, 'B', 0, 0),
        PSTK_FIELD(pstk_source_options, port, port, 'H', 0, 0),
        PSTK_FIELD(pstk_source_options, subject_count, subject_count, 'H', 0, 0),
        PSTK_FIELD(pstk_source_options, host, host, 's', 0, 0),
        PSTK_FIELD(pstk_source_options, user, user, 's', 0, 0),
        PSTK_FIELD(pstk_source_options, password, password, 's', 0, 0),
        PSTK_FIELD(pstk_source_options, token, token, 's', 0, 0),
        PSTK_FIELD(pstk_source_options, subjects, subjects[0], 's', 0, 1),
        PSTK_FIELD(pstk_source_options, lateness_ns, lateness_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_source_options, idle_after_ns, idle_after_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_source_options, future_max_ns, future_max_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_source_options, heartbeat_ns, heartbeat_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_source_options, handshake_ns_max, handshake_ns_max, 'q', 0, 0),
        PSTK_FIELD(pstk_source_options, reconnect_ns_min, reconnect_ns_min, 'q', 0, 0),
        PSTK_FIELD(pstk_source_options, reconnect_ns_max, reconnect_ns_max, 'q', 0, 0),
        PSTK_FIELD(pstk_source_options, coalesce_ns, coalesce_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_source_options, frame_bytes_max, frame_bytes_max, 'I', 0, 0),
        PSTK_FIELD(pstk_source_options, connections_max, connections_max, 'I', 0, 0),
        PSTK_FIELD(pstk_source_options, ring_share, ring_share, 'd', 0, 0),
        {0},
    };
    static const pstk_field pstk_fields_pstk_context_values[] = {
        PSTK_FIELD(pstk_context_values, order, order, 's', 0, 0),
        PSTK_FIELD(pstk_context_values, operation, operation, 's', 0, 0),
        PSTK_FIELD(pstk_context_values, material, material, 's', 0, 0),
        PSTK_FIELD(pstk_context_values, lot, lot, 's', 0, 0),
        PSTK_FIELD(pstk_context_values, shift, shift, 's', 0, 0),
        {0},
    };
    static const pstk_field pstk_fields_pstk_event_figures[] = {
        PSTK_FIELD(pstk_event_figures, asked, asked, 'I', 0, 0),
        PSTK_FIELD(pstk_event_figures, variance, variance, 'd', 0, 0),
        PSTK_FIELD(pstk_event_figures, tw_mean, tw_mean, 'd', 0, 0),
        PSTK_FIELD(pstk_event_figures, integral, integral, 'd', 0, 0),
        PSTK_FIELD(pstk_event_figures, rate, rate, 'd', 0, 0),
        PSTK_FIELD(pstk_event_figures, share, share, 'd', 0, 0),
        PSTK_FIELD(pstk_event_figures, completeness, completeness, 'd', 0, 0),
        PSTK_FIELD(pstk_event_figures, quality_share, quality_share, 'd', 0, 0),
        {0},
    };
    static const pstk_field pstk_fields_pstk_event[] = {
        PSTK_FIELD(pstk_event, id, id[0], 'B', 0, 1),
        PSTK_FIELD(pstk_event, digest, digest[0], 'B', 0, 1),
        PSTK_FIELD(pstk_event, seq, seq, 'Q', 0, 0),
        PSTK_FIELD(pstk_event, pos, pos, 'Q', 0, 0),
        PSTK_FIELD(pstk_event, engine_time_ns, engine_time_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_event, at_ns, at_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_event, start_ns, start_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_event, end_ns, end_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_event, value, value, 'v', 0, 0),
        PSTK_FIELD(pstk_event, start_reading, start_reading, 'v', 0, 0),
        PSTK_FIELD(pstk_event, end_reading, end_reading, 'v', 0, 0),
        PSTK_FIELD(pstk_event, limit, limit, 'd', 0, 0),
        PSTK_FIELD(pstk_event, sum, sum, 'd', 0, 0),
        PSTK_FIELD(pstk_event, min, min, 'd', 0, 0),
        PSTK_FIELD(pstk_event, max, max, 'd', 0, 0),
        PSTK_FIELD(pstk_event, first, first, 'd', 0, 0),
        PSTK_FIELD(pstk_event, last, last, 'd', 0, 0),
        PSTK_FIELD(pstk_event, count, count, 'Q', 0, 0),
        PSTK_FIELD(pstk_event, rule, rule, 'I', 0, 0),
        PSTK_FIELD(pstk_event, tag, tag, 'I', 0, 0),
        PSTK_FIELD(pstk_event, asset, asset, 'I', 0, 0),
        PSTK_FIELD(pstk_event, occurrence, occurrence, 'I', 0, 0),
        PSTK_FIELD(pstk_event, time_epoch, time_epoch, 'I', 0, 0),
        PSTK_FIELD(pstk_event, revision, revision, 'I', 0, 0),
        PSTK_FIELD(pstk_event, flags, flags, 'I', 0, 0),
        PSTK_FIELD(pstk_event, kind, kind, 'H', 0, 0),
        PSTK_FIELD(pstk_event, value_type, value_type, 'B', 0, 0),
        PSTK_FIELD(pstk_event, config_gen_low, config_gen_low, 'B', 0, 0),
        PSTK_FIELD(pstk_event, context, context, 'T', pstk_fields_pstk_context_values, 0),
        PSTK_FIELD(pstk_event, figures, figures, 'T', pstk_fields_pstk_event_figures, 0),
        {0},
    };
    static const pstk_field pstk_fields_pstk_result[] = {
        PSTK_FIELD(pstk_result, start_ns, start_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_result, end_ns, end_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_result, count, count, 'Q', 0, 0),
        PSTK_FIELD(pstk_result, sum, sum, 'd', 0, 0),
        PSTK_FIELD(pstk_result, mean, mean, 'd', 0, 0),
        PSTK_FIELD(pstk_result, min, min, 'd', 0, 0),
        PSTK_FIELD(pstk_result, max, max, 'd', 0, 0),
        PSTK_FIELD(pstk_result, first, first, 'd', 0, 0),
        PSTK_FIELD(pstk_result, last, last, 'd', 0, 0),
        PSTK_FIELD(pstk_result, rule, rule, 'I', 0, 0),
        PSTK_FIELD(pstk_result, tag, tag, 'I', 0, 0),
        PSTK_FIELD(pstk_result, flags, flags, 'I', 0, 0),
        PSTK_FIELD(pstk_result, revision, revision, 'I', 0, 0),
        PSTK_FIELD(pstk_result, more, more, 'Q', 0, 0),
        {0},
    };
    static const pstk_field pstk_fields_pstk_aggregates[] = {
        PSTK_FIELD(pstk_aggregates, min_ns, min_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_aggregates, max_ns, max_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_aggregates, range, range, 'd', 0, 0),
        PSTK_FIELD(pstk_aggregates, variance, variance, 'd', 0, 0),
        PSTK_FIELD(pstk_aggregates, tw_mean, tw_mean, 'd', 0, 0),
        PSTK_FIELD(pstk_aggregates, integral, integral, 'd', 0, 0),
        PSTK_FIELD(pstk_aggregates, rate, rate, 'd', 0, 0),
        PSTK_FIELD(pstk_aggregates, share, share, 'd', 0, 0),
        PSTK_FIELD(pstk_aggregates, completeness, completeness, 'd', 0, 0),
        PSTK_FIELD(pstk_aggregates, quality_share, quality_share, 'd', 0, 0),
        {0},
    };
    static const pstk_field pstk_fields_pstk_limit_level[] = {
        PSTK_FIELD(pstk_limit_level, is_set, is_set, 'B', 0, 0),
        PSTK_FIELD(pstk_limit_level, value, value, 'd', 0, 0),
        PSTK_FIELD(pstk_limit_level, deadband, deadband, 'd', 0, 0),
        PSTK_FIELD(pstk_limit_level, on_delay_ns, on_delay_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_limit_level, off_delay_ns, off_delay_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_limit_level, re_alarm_ns, re_alarm_ns, 'q', 0, 0),
        {0},
    };
    static const pstk_field pstk_fields_pstk_rule[] = {
        PSTK_FIELD(pstk_rule, name, name, 's', 0, 0),
        PSTK_FIELD(pstk_rule, series, series, 's', 0, 0),
        PSTK_FIELD(pstk_rule, unit, unit, 's', 0, 0),
        PSTK_FIELD(pstk_rule, pattern, pattern[0], 's', 0, 1),
        PSTK_FIELD(pstk_rule, asset, asset, 's', 0, 0),
        PSTK_FIELD(pstk_rule, kind, kind, 'H', 0, 0),
        PSTK_FIELD(pstk_rule, order, order, 'H', 0, 0),
        PSTK_FIELD(pstk_rule, emit, emit, 'B', 0, 0),
        PSTK_FIELD(pstk_rule, cut_on, cut_on, 'B', 0, 0),
        PSTK_FIELD(pstk_rule, emits_zero, emits_zero, 'B', 0, 0),
        PSTK_FIELD(pstk_rule, quality, quality, 'B', 0, 0),
        PSTK_FIELD(pstk_rule, events_per_minute_max, events_per_minute_max, 'I', 0, 0),
        PSTK_FIELD(pstk_rule, level, level[0], 'T', pstk_fields_pstk_limit_level, 1),
        PSTK_FIELD(pstk_rule, rollover, rollover, 'd', 0, 0),
        PSTK_FIELD(pstk_rule, size_ns, size_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_rule, offset_ns, offset_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_rule, since_unit_ns, since_unit_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_rule, rate_unit_ns, rate_unit_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_rule, min_duration_ns, min_duration_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_rule, micro_every_ns, micro_every_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_rule, span_ns, span_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_rule, after_ns, after_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_rule, band, band, 'd', 0, 0),
        PSTK_FIELD(pstk_rule, hop_ns, hop_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_rule, session_gap_ns, session_gap_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_rule, session_max_ns, session_max_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_rule, expected_ns, expected_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_rule, correct_ns, correct_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_rule, count_n, count_n, 'I', 0, 0),
        PSTK_FIELD(pstk_rule, aggregates, aggregates, 'I', 0, 0),
        PSTK_FIELD(pstk_rule, source, source, 's', 0, 0),
        PSTK_FIELD(pstk_rule, lost_min, lost_min, 'Q', 0, 0),
        PSTK_FIELD(pstk_rule, suppress_tag, suppress_tag, 's', 0, 0),
        PSTK_FIELD(pstk_rule, suppress_by, suppress_by, 's', 0, 0),
        PSTK_FIELD(pstk_rule, state_count, state_count, 'I', 0, 0),
        PSTK_FIELD(pstk_rule, is_any_state, is_any_state, 'B', 0, 0),
        PSTK_FIELD(pstk_rule, state_on, state_on, 'B', 0, 0),
        PSTK_FIELD(pstk_rule, micro, micro, 'B', 0, 0),
        PSTK_FIELD(pstk_rule, negative, negative, 'B', 0, 0),
        PSTK_FIELD(pstk_rule, state_code, state_code[0], 'q', 0, 1),
        PSTK_FIELD(pstk_rule, state_text, state_text[0], 's', 0, 1),
        {0},
    };
    static const pstk_field pstk_fields_pstk_engine_options[] = {
        PSTK_FIELD(pstk_engine_options, abi_version, abi_version, 'I', 0, 0),
        PSTK_FIELD(pstk_engine_options, clock, clock, 'I', 0, 0),
        PSTK_FIELD(pstk_engine_options, plant, plant, 's', 0, 0),
        PSTK_FIELD(pstk_engine_options, state_dir, state_dir, 's', 0, 0),
        PSTK_FIELD(pstk_engine_options, ring_dir, ring_dir, 's', 0, 0),
        PSTK_FIELD(pstk_engine_options, ring_bytes, ring_bytes, 'Q', 0, 0),
        PSTK_FIELD(pstk_engine_options, tags_max, tags_max, 'I', 0, 0),
        PSTK_FIELD(pstk_engine_options, instances_max, instances_max, 'I', 0, 0),
        PSTK_FIELD(pstk_engine_options, streams_max, streams_max, 'I', 0, 0),
        PSTK_FIELD(pstk_engine_options, assets_max, assets_max, 'I', 0, 0),
        PSTK_FIELD(pstk_engine_options, event_slots, event_slots, 'I', 0, 0),
        PSTK_FIELD(pstk_engine_options, result_slots, result_slots, 'I', 0, 0),
        PSTK_FIELD(pstk_engine_options, reorder_slots, reorder_slots, 'I', 0, 0),
        PSTK_FIELD(pstk_engine_options, codes_max, codes_max, 'I', 0, 0),
        PSTK_FIELD(pstk_engine_options, checkpoint_ns, checkpoint_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_engine_options, durability, durability, 'I', 0, 0),
        PSTK_FIELD(pstk_engine_options, sync_ns, sync_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_engine_options, journal_bytes_max, journal_bytes_max, 'Q', 0, 0),
        {0},
    };
    static const pstk_field pstk_fields_pstk_feed_result[] = {
        PSTK_FIELD(pstk_feed_result, used, used, 'Q', 0, 0),
        PSTK_FIELD(pstk_feed_result, dropped, dropped, 'Q', 0, 0),
        {0},
    };
    static const pstk_field pstk_fields_pstk_context[] = {
        PSTK_FIELD(pstk_context, asset, asset, 's', 0, 0),
        PSTK_FIELD(pstk_context, at_ns, at_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_context, set, set, 'I', 0, 0),
        PSTK_FIELD(pstk_context, values, values, 'T', pstk_fields_pstk_context_values, 0),
        {0},
    };
    static const pstk_field pstk_fields_pstk_baseline[] = {
        PSTK_FIELD(pstk_baseline, rule, rule, 's', 0, 0),
        PSTK_FIELD(pstk_baseline, series, series, 's', 0, 0),
        PSTK_FIELD(pstk_baseline, tag, tag, 's', 0, 0),
        PSTK_FIELD(pstk_baseline, end_ns, end_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_baseline, end_reading, end_reading, 'v', 0, 0),
        PSTK_FIELD(pstk_baseline, value_type, value_type, 'I', 0, 0),
        {0},
    };
    static const pstk_field pstk_fields_pstk_operation[] = {
        PSTK_FIELD(pstk_operation, rule, rule, 's', 0, 0),
        PSTK_FIELD(pstk_operation, tag, tag, 's', 0, 0),
        PSTK_FIELD(pstk_operation, by, by, 's', 0, 0),
        PSTK_FIELD(pstk_operation, note, note, 's', 0, 0),
        PSTK_FIELD(pstk_operation, at_ns, at_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_operation, until_ns, until_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_operation, action, action, 'I', 0, 0),
        {0},
    };
    static const pstk_field pstk_fields_pstk_alarm[] = {
        PSTK_FIELD(pstk_alarm, rule, rule, 's', 0, 0),
        PSTK_FIELD(pstk_alarm, tag, tag, 's', 0, 0),
        PSTK_FIELD(pstk_alarm, since_ns, since_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_alarm, shelved_until_ns, shelved_until_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_alarm, value, value, 'v', 0, 0),
        PSTK_FIELD(pstk_alarm, kind, kind, 'H', 0, 0),
        PSTK_FIELD(pstk_alarm, level, level, 'B', 0, 0),
        PSTK_FIELD(pstk_alarm, value_type, value_type, 'B', 0, 0),
        PSTK_FIELD(pstk_alarm, is_active, is_active, 'B', 0, 0),
        PSTK_FIELD(pstk_alarm, is_acknowledged, is_acknowledged, 'B', 0, 0),
        PSTK_FIELD(pstk_alarm, is_suppressed, is_suppressed, 'B', 0, 0),
        {0},
    };
    static const pstk_field pstk_fields_pstk_source_stats[] = {
        PSTK_FIELD(pstk_source_stats, name, name, 's', 0, 0),
        PSTK_FIELD(pstk_source_stats, received, received, 'Q', 0, 0),
        PSTK_FIELD(pstk_source_stats, used, used, 'Q', 0, 0),
        PSTK_FIELD(pstk_source_stats, dropped, dropped[0], 'Q', 0, 1),
        PSTK_FIELD(pstk_source_stats, lost_upstream, lost_upstream, 'Q', 0, 0),
        PSTK_FIELD(pstk_source_stats, frames, frames, 'Q', 0, 0),
        PSTK_FIELD(pstk_source_stats, bytes, bytes, 'Q', 0, 0),
        PSTK_FIELD(pstk_source_stats, connections, connections, 'Q', 0, 0),
        PSTK_FIELD(pstk_source_stats, reconnects, reconnects, 'Q', 0, 0),
        PSTK_FIELD(pstk_source_stats, protocol_errors, protocol_errors, 'Q', 0, 0),
        PSTK_FIELD(pstk_source_stats, late, late, 'Q', 0, 0),
        PSTK_FIELD(pstk_source_stats, out_of_order, out_of_order, 'Q', 0, 0),
        PSTK_FIELD(pstk_source_stats, sent_upstream, sent_upstream, 'Q', 0, 0),
        PSTK_FIELD(pstk_source_stats, is_numbered, is_numbered, 'B', 0, 0),
        PSTK_FIELD(pstk_source_stats, is_up, is_up, 'B', 0, 0),
        {0},
    };
    static const pstk_field pstk_fields_pstk_stats[] = {
        PSTK_FIELD(pstk_stats, written, written, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, judged, judged, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, checkpointed, checkpointed, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, saved, saved, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, ring_bytes, ring_bytes, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, tags, tags, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, instances, instances, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, streams, streams, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, assets, assets, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, instances_refused, instances_refused, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, instances_mistyped, instances_mistyped, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, events, events, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, events_pending, events_pending, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, events_polled, events_polled, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, results, results, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, results_overwritten, results_overwritten, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, late, late, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, out_of_order, out_of_order, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, reorder_overflow, reorder_overflow, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, chattering, chattering, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, micro_dropped, micro_dropped, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, suppressed, suppressed, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, checkpoints, checkpoints, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, checkpoint_ns_max, checkpoint_ns_max, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, ticks, ticks, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, blocks, blocks, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, redelivered, redelivered, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, engine_time_ns, engine_time_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_stats, config_gen, config_gen, 'I', 0, 0),
        PSTK_FIELD(pstk_stats, is_failed, is_failed, 'B', 0, 0),
        PSTK_FIELD(pstk_stats, is_event_ring_full, is_event_ring_full, 'B', 0, 0),
        PSTK_FIELD(pstk_stats, is_cold_start, is_cold_start, 'B', 0, 0),
        PSTK_FIELD(pstk_stats, is_disk_full, is_disk_full, 'B', 0, 0),
        PSTK_FIELD(pstk_stats, durable, durable, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, journal_bytes, journal_bytes, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, disk_full_waits, disk_full_waits, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, disk_written, disk_written, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, captured, captured, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, capture_missed, capture_missed, 'Q', 0, 0),
        PSTK_FIELD(pstk_stats, is_capture_stopped, is_capture_stopped, 'Q', 0, 0),
        {0},
    };
    static const pstk_field pstk_fields_pstk_capture_span[] = {
        PSTK_FIELD(pstk_capture_span, plant, plant, 's', 0, 0),
        PSTK_FIELD(pstk_capture_span, first_ns, first_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_capture_span, last_ns, last_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_capture_span, pos, pos, 'Q', 0, 0),
        PSTK_FIELD(pstk_capture_span, end, end, 'Q', 0, 0),
        PSTK_FIELD(pstk_capture_span, blocks, blocks, 'Q', 0, 0),
        PSTK_FIELD(pstk_capture_span, samples, samples, 'Q', 0, 0),
        PSTK_FIELD(pstk_capture_span, bytes, bytes, 'Q', 0, 0),
        PSTK_FIELD(pstk_capture_span, missed, missed, 'Q', 0, 0),
        PSTK_FIELD(pstk_capture_span, missed_before, missed_before, 'Q', 0, 0),
        PSTK_FIELD(pstk_capture_span, journal_id, journal_id[0], 'B', 0, 1),
        PSTK_FIELD(pstk_capture_span, is_cut, is_cut, 'B', 0, 0),
        {0},
    };
    static const pstk_field pstk_fields_pstk_replayed[] = {
        PSTK_FIELD(pstk_replayed, samples, samples, 'Q', 0, 0),
        PSTK_FIELD(pstk_replayed, dropped, dropped, 'Q', 0, 0),
        PSTK_FIELD(pstk_replayed, blocks, blocks, 'Q', 0, 0),
        PSTK_FIELD(pstk_replayed, skipped, skipped, 'Q', 0, 0),
        PSTK_FIELD(pstk_replayed, left, left, 'Q', 0, 0),
        PSTK_FIELD(pstk_replayed, engine_time_ns, engine_time_ns, 'q', 0, 0),
        PSTK_FIELD(pstk_replayed, is_done, is_done, 'B', 0, 0),
        PSTK_FIELD(pstk_replayed, is_cut, is_cut, 'B', 0, 0),
        PSTK_FIELD(pstk_replayed, is_held, is_held, 'B', 0, 0),
        {0},
    };
    """
    ctypedef struct pstk_field:
        const char *name
        const pstk_field *inner
        uint32_t at, bytes, count
        char kind, is_array
    const pstk_field pstk_fields_pstk_error[1]
    const pstk_field pstk_fields_pstk_sample[1]
    const pstk_field pstk_fields_pstk_source_options[1]
    const pstk_field pstk_fields_pstk_context_values[1]
    const pstk_field pstk_fields_pstk_event_figures[1]
    const pstk_field pstk_fields_pstk_event[1]
    const pstk_field pstk_fields_pstk_result[1]
    const pstk_field pstk_fields_pstk_aggregates[1]
    const pstk_field pstk_fields_pstk_limit_level[1]
    const pstk_field pstk_fields_pstk_rule[1]
    const pstk_field pstk_fields_pstk_engine_options[1]
    const pstk_field pstk_fields_pstk_feed_result[1]
    const pstk_field pstk_fields_pstk_context[1]
    const pstk_field pstk_fields_pstk_baseline[1]
    const pstk_field pstk_fields_pstk_operation[1]
    const pstk_field pstk_fields_pstk_alarm[1]
    const pstk_field pstk_fields_pstk_source_stats[1]
    const pstk_field pstk_fields_pstk_stats[1]
    const pstk_field pstk_fields_pstk_capture_span[1]
    const pstk_field pstk_fields_pstk_replayed[1]
