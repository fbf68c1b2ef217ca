# Generated from native/penstock.h by tools/pxd.py; do not edit.
from libc.stdint cimport (int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t)

cdef extern from "penstock.h" nogil:
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
    ctypedef enum pstk_rule_kind:
        PSTK_RULE_LIMIT
        PSTK_RULE_COUNTER
        PSTK_RULE_TOTAL
        PSTK_RULE_STATE
        PSTK_RULE_WINDOW
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
    ctypedef struct pstk_limit_level:
        uint8_t is_set
        uint8_t reserved[7]
        double value
        double deadband
        int64_t on_delay_ns
        int64_t off_delay_ns
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
        uint8_t reserved0
        uint32_t events_per_minute_max
        pstk_limit_level level[PSTK_LEVEL_COUNT]
        double rollover
        int64_t size_ns
        int64_t offset_ns
        int64_t since_unit_ns
        int64_t rate_unit_ns
        int64_t min_duration_ns
        int64_t micro_every_ns
        uint32_t state_count
        uint8_t is_any_state
        uint8_t state_on
        uint8_t micro
        uint8_t negative
        int64_t state_code[16]
        char state_text[16][32]
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
    ctypedef struct pstk_context_values:
        char order[32]
        char operation[16]
        char material[32]
        char lot[32]
        char shift[16]
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
        uint8_t reserved[64]
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
        uint32_t reserved
        uint64_t reserved1
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
    uint32_t pstk_abi_version()
    const char *pstk_version()
    const char *pstk_status_text(int status)
    const char *pstk_drop_name(int reason)
    const char *pstk_event_kind_name(int kind)
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
    int pstk_engine_reconfigure(pstk_engine *engine, const pstk_rule *rules, size_t rule_count, pstk_error *err)
    int pstk_engine_position(pstk_engine *engine, uint32_t source, uint64_t *out_position, pstk_error *err)
    int pstk_engine_event_fd(const pstk_engine *engine)
    int pstk_engine_poll(pstk_engine *engine, pstk_event *out_events, size_t capacity, size_t *out_count, pstk_error *err)
    int pstk_engine_acknowledge(pstk_engine *engine, uint64_t seq, pstk_error *err)
    int pstk_engine_rewind(pstk_engine *engine, pstk_error *err)
    int pstk_engine_results(pstk_engine *engine, pstk_result *out_results, size_t capacity, size_t *out_count, pstk_error *err)
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
