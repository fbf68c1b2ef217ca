/* frames: a payload becomes samples, samples a block; sequences are followed and every loss is
 * counted. Writer lock held. */
#include "engine.h"

/* ---- streams: which clock and sequence a message belongs to --------------------------------- */

static bool is_stream(const pstk_engine *engine, uint32_t index, uint16_t source, uint32_t stream) {
    return index < engine->stream_count && engine->stream[index].stream == stream &&
           engine->stream[index].source == source;
}

int32_t pstk_engine_find_stream(pstk_engine *engine, uint16_t source, uint32_t stream) {
    uint16_t *hint = &engine->stream_hint[(stream ^ source) % PSTK_STREAM_HINTS];
    if (PSTK_LIKELY(is_stream(engine, *hint, source, stream)))
        return *hint;
    for (uint32_t i = engine->stream_count; i-- > 0;)
        if (is_stream(engine, i, source, stream)) {
            *hint = (uint16_t)i;
            return (int32_t)i;
        }
    return -1;
}

bool pstk_engine_put_stream(pstk_engine *engine, uint32_t index) {
    const pstk_stream *stream = &engine->stream[index];
    pstk_stream_record record = {.index = index, .stream = stream->stream, .boot = stream->boot};
    pstk_block block = {.kind = PSTK_RECORD_STREAM,
                        .source = stream->source,
                        .stream = (uint16_t)index,
                        .count = 1};
    return pstk_engine_put(engine, &block, &record, sizeof record);
}

int32_t pstk_engine_open_stream(pstk_engine *engine, uint16_t source, const pstk_message *message,
                                uint32_t number) {
    if (engine->stream_count >= engine->options.streams_max)
        return -1;
    uint32_t index = engine->stream_count++;
    engine->stream[index] = (pstk_stream){.stream = number,
                                          .boot = message->boot,
                                          .source = source,
                                          .is_numbered = message->is_numbered};
    pstk_engine_put_stream(engine, index);
    return (int32_t)index;
}

/* From here on it is this stream's turn: what the one before has not told yet is told first, its
 * block, then its drops. */
void pstk_engine_turn_to_stream(pstk_engine *engine, uint16_t source_id, uint16_t index) {
    const pstk_open_block *open = &engine->block;
    pstk_source *source = &engine->source[source_id];
    if (open->payload && (open->stream != index || open->source != source_id))
        pstk_engine_commit_block(engine);
    if (PSTK_UNLIKELY(source->is_counts_due && source->counts_stream != index &&
                      source->counts_stream != PSTK_STREAM_NONE))
        pstk_engine_settle_counts(engine, source_id);
    source->counts_stream = index;
}

static void count_gap(pstk_engine *engine, uint16_t index, pstk_source_change change, uint64_t lost,
                      uint64_t next_seq) {
    pstk_engine_commit_block(engine); /* what came before the gap stands before it */
    pstk_stream *stream = &engine->stream[index];
    pstk_source *source = &engine->source[stream->source];
    source->lost_upstream += lost;
    source->sent_upstream += lost;
    stream->next_seq = next_seq;
    pstk_source_record record = {
        .change = (uint32_t)change, .lost = lost, .next_seq = next_seq, .boot = stream->boot};
    pstk_block block = {.kind = PSTK_RECORD_SOURCE,
                        .source = stream->source,
                        .stream = index,
                        .used_total = source->used,
                        .dropped_total = source->dropped_total,
                        .source_pos = next_seq,
                        .count = 1};
    pstk_engine_put(engine, &block, &record, sizeof record);
}

/* Compares a numbered message with what its stream had sent. Returns how many of its samples are
 * already journaled. */
static uint64_t follow_sequence(pstk_engine *engine, uint16_t index, const pstk_message *message) {
    pstk_stream *stream = &engine->stream[index];
    pstk_source *source = &engine->source[stream->source];
    source->is_numbered = 1;
    if (stream->boot != message->boot) {
        stream->boot = message->boot;
        pstk_engine_put_stream(engine, index);
        count_gap(engine, index, PSTK_SOURCE_BOOT, message->seq, message->seq);
    } else if (message->seq > stream->next_seq) {
        count_gap(engine, index, PSTK_SOURCE_GAP, message->seq - stream->next_seq, message->seq);
    }
    uint64_t known = stream->next_seq - message->seq;
    return PSTK_MIN(known, message->samples);
}

/* ---- one frame ------------------------------------------------------------------------------ */

void pstk_engine_drop(pstk_engine *engine, uint16_t source_id, pstk_drop reason, uint64_t count) {
    pstk_source *source = &engine->source[source_id];
    source->dropped[reason] += count;
    source->dropped_total += count;
    source->is_counts_due = 1;
}

bool pstk_engine_claim_block(pstk_engine *engine, uint16_t source, uint16_t stream) {
    pstk_open_block *open = &engine->block;
    if (open->payload && open->source == source && open->stream == stream &&
        open->count < PSTK_BLOCK_SAMPLES_MAX)
        return true;
    pstk_engine_commit_block(engine);
    open->payload = pstk_ring_claim(engine->ring, PSTK_BLOCK_SAMPLES_MAX * sizeof(pstk_sample));
    open->source = source;
    open->stream = stream;
    open->count = 0;
    return open->payload != NULL;
}

static bool has_new_names(const pstk_engine *engine) {
    const pstk_code_ref *codes;
    return engine->journaled_tags != pstk_tags_count(engine->tags) ||
           pstk_tags_new_codes(engine->tags, &codes) != 0;
}

/* New names must stand in the journal before their samples: the open block steps aside for TAG and
 * CODE records. */
static bool journal_new_names(pstk_engine *engine) {
    pstk_open_block *open = &engine->block;
    if (!has_new_names(engine))
        return true;
    size_t size = open->count * sizeof(pstk_sample);
    memcpy(engine->scratch, open->payload, size);
    open->payload = NULL;
    if (!pstk_engine_put_new_tags(engine))
        return false;
    open->payload = pstk_ring_claim(engine->ring, PSTK_BLOCK_SAMPLES_MAX * sizeof(pstk_sample));
    if (!open->payload)
        return false;
    memcpy(open->payload, engine->scratch, size);
    return true;
}

typedef struct message_run { /* a message on its way through the parser */
    uint64_t taken;          /* samples of it done with, journaled before included */
    uint64_t total;
    uint16_t stream;
    bool is_numbered;
    uint64_t seq;
} message_run;

static void mark_progress(pstk_engine *engine, const pstk_delivery *delivery,
                          const message_run *run) {
    pstk_source *source = &engine->source[delivery->source];
    pstk_open_block *open = &engine->block;
    uint64_t pos = PSTK_POSITION_NONE, ord = 0;
    if (run->is_numbered) {
        pstk_stream *stream = &engine->stream[run->stream];
        stream->next_seq = PSTK_MAX(stream->next_seq, run->seq + run->taken);
        pos = stream->next_seq;
        if (delivery->base)
            source->position = delivery->position; /* for the next image: see engine_loops.c */
    } else if (delivery->position != PSTK_POSITION_NONE) {
        source->position = pos = delivery->position;
        source->position_ord = ord = run->taken < run->total ? run->taken : 0;
    }
    if (!open->payload || open->stream != run->stream || open->source != delivery->source)
        return; /* the open block is another stream's: its place is not ours to move */
    open->source_pos = pos;
    open->source_ord = (uint32_t)ord;
}

static void run_message(pstk_engine *engine, const pstk_delivery *delivery, message_run *run) {
    pstk_source *source = &engine->source[delivery->source];
    pstk_step step = {.is_done = run->taken >= run->total};
    while (!step.is_done) {
        if (!pstk_engine_claim_block(engine, delivery->source, run->stream)) {
            pstk_engine_drop(engine, delivery->source, PSTK_DROP_RING_FULL,
                             run->total - run->taken);
            run->taken = run->total;
            mark_progress(engine, delivery, run);
            return;
        }
        pstk_open_block *open = &engine->block;
        pstk_sample *out = (pstk_sample *)(void *)open->payload + open->count;
        pstk_parse_step(engine->parser, out, PSTK_BLOCK_SAMPLES_MAX - open->count,
                        delivery->future_ns, source->dropped, &step);
        open->count += (uint32_t)step.samples;
        run->taken += step.taken;
        source->is_single = run->total == 1 && step.samples == 1;
        if (PSTK_UNLIKELY(step.taken != step.samples)) {
            source->dropped_total += step.taken - step.samples;
            source->is_counts_due = 1;
        }
        if (!journal_new_names(engine)) {
            pstk_engine_drop(engine, delivery->source, PSTK_DROP_RING_FULL, open->count);
            open->count = 0;
        }
        mark_progress(engine, delivery, run);
    }
}

static bool is_whole_duplicate(pstk_engine *engine, const pstk_delivery *delivery) {
    const pstk_source *source = &engine->source[delivery->source];
    return delivery->position != PSTK_POSITION_NONE && source->position != PSTK_POSITION_NONE &&
           (delivery->position < source->position ||
            (delivery->position == source->position && source->position_ord == 0));
}

/* How many samples of this message an earlier delivery has already journaled. */
static uint64_t already_journaled(pstk_engine *engine, const pstk_delivery *delivery,
                                  const pstk_message *message, uint16_t stream) {
    const pstk_source *source = &engine->source[delivery->source];
    if (message->is_numbered)
        return follow_sequence(engine, stream, message);
    if (is_whole_duplicate(engine, delivery))
        return message->samples;
    if (delivery->position != PSTK_POSITION_NONE && delivery->position == source->position)
        return PSTK_MIN(source->position_ord, message->samples);
    return 0;
}

/* False: nothing of it can be used, and why. Intake refuses large frames before they are here;
 * those of feed_frame meet the same bound and the same counter. */
static bool begin_message(pstk_engine *engine, uint16_t source_id, const pstk_frame *frame,
                          pstk_message *out_message, pstk_drop *out_reason) {
    const pstk_source_options *options = &engine->source[source_id].options;
    bool is_usable = pstk_parse_begin(engine->parser, (pstk_format)options->format, source_id,
                                      frame->subject, frame->subject_bytes, frame->payload,
                                      frame->payload_bytes, out_message, out_reason);
    if (frame->payload_bytes <= options->frame_bytes_max)
        return is_usable;
    *out_reason = PSTK_DROP_OVERSIZE;
    out_message->samples = PSTK_MAX(out_message->samples, 1u);
    return false;
}

/* The stream of a message, opened where there is none yet; -1: streams_max is reached, or there is
 * nothing to follow. What cannot be used opens one only where its place must be kept: numbered, or
 * a batch with a position. */
static int32_t stream_for(pstk_engine *engine, const pstk_delivery *delivery,
                          const pstk_message *message, bool is_usable) {
    uint32_t number = message->is_numbered ? message->stream & ~PSTK_STREAM_UNNUMBERED
                                           : PSTK_STREAM_UNNUMBERED | delivery->connection;
    int32_t index = pstk_engine_find_stream(engine, delivery->source, number);
    bool is_placed = message->is_numbered || delivery->position != PSTK_POSITION_NONE;
    if (index >= 0 || (!is_usable && !is_placed))
        return index;
    return pstk_engine_open_stream(engine, delivery->source, message, number);
}

/* No stream to follow it by: counted whole. */
static void drop_message(pstk_engine *engine, uint16_t source_id, const pstk_message *message,
                         pstk_drop reason) {
    pstk_source *source = &engine->source[source_id];
    if (message->is_numbered) {
        source->is_numbered = 1;
        source->sent_upstream += message->samples;
    }
    pstk_engine_drop(engine, source_id, reason, message->samples);
}

/* False: no room and the source may wait; nothing of the frame was taken. */
bool pstk_engine_take_frame(pstk_engine *engine, const pstk_delivery *delivery,
                            const pstk_frame *frame) {
    pstk_source *source = &engine->source[delivery->source];
    pstk_drop reason;
    bool has_room = pstk_engine_has_room(engine, source, frame->payload_bytes, &reason);
    if (!has_room && delivery->may_wait)
        return false;
    pstk_message message;
    pstk_drop begin_reason;
    bool is_usable = begin_message(engine, delivery->source, frame, &message, &begin_reason);
    source->received += message.samples;
    int32_t index = stream_for(engine, delivery, &message, is_usable);
    if (index < 0) {
        bool is_full = is_usable || message.is_numbered;
        drop_message(engine, delivery->source, &message,
                     is_full ? PSTK_DROP_STREAM_LIMIT : begin_reason);
        return true;
    }
    pstk_engine_turn_to_stream(engine, delivery->source, (uint16_t)index);
    uint64_t known = already_journaled(engine, delivery, &message, (uint16_t)index);
    message_run run = {.taken = known,
                       .total = message.samples,
                       .stream = (uint16_t)index,
                       .is_numbered = message.is_numbered,
                       .seq = message.seq};
    if (message.is_numbered)
        source->sent_upstream += message.samples - known;
    if (known && is_usable)
        pstk_parse_skip(engine->parser, known);
    if (known)
        pstk_engine_drop(engine, delivery->source, PSTK_DROP_DUPLICATE, known);
    if (!is_usable || !has_room) {
        pstk_engine_drop(engine, delivery->source, is_usable ? reason : begin_reason,
                         message.samples - known);
        run.taken = run.total;
        mark_progress(engine, delivery, &run);
        return true;
    }
    run_message(engine, delivery, &run);
    return true;
}

/* ---- runs of plain messages ------------------------------------------------------------------ */

/* What a message must be to follow the one before in its stream. False: nothing to go on. */
static bool begin_run(const pstk_engine *engine, const pstk_delivery *delivery, pstk_plain *out) {
    const pstk_source *source = &engine->source[delivery->source];
    if (!source->is_single || source->options.frame_bytes_max < PSTK_PLAIN_BYTES_MAX ||
        (delivery->position != PSTK_POSITION_NONE && !delivery->base) ||
        source->counts_stream >= engine->stream_count)
        return false;
    const pstk_stream *stream = &engine->stream[source->counts_stream];
    if (stream->source != delivery->source)
        return false;
    *out = (pstk_plain){.seq = UINT64_MAX,
                        .future_after_ns = delivery->future_ns,
                        .frame_bytes_max = source->options.frame_bytes_max,
                        .source = delivery->source};
    if (!stream->is_numbered)
        return stream->stream == (PSTK_STREAM_UNNUMBERED | delivery->connection);
    out->head = (uint64_t)stream->boot << 32 | stream->stream;
    out->head_mask = UINT64_MAX;
    out->seq = stream->next_seq;
    out->step = 1;
    return stream->next_seq < UINT64_MAX - PSTK_FRAMES_MAX;
}

/* Where a frame of a recording ends in the file. */
uint64_t pstk_engine_place(const pstk_delivery *delivery, const pstk_frame *frame) {
    const uint8_t *end = frame->payload + frame->payload_bytes;
    return delivery->base_offset + (uint64_t)(end - delivery->base);
}

/* Samples of the first count frames stand behind the open block's: they are its own from now on. */
static void keep_run(pstk_engine *engine, const pstk_delivery *delivery, const pstk_plain *plain,
                     const pstk_frame *frames, size_t count) {
    pstk_open_block *open = &engine->block;
    pstk_source *source = &engine->source[delivery->source];
    pstk_stream *stream = &engine->stream[open->stream];
    if (count == 0)
        return; /* the block keeps its place */
    open->count += (uint32_t)count;
    open->source_ord = 0;
    open->source_pos = PSTK_POSITION_NONE;
    source->received += count;
    if (delivery->base) {
        open->source_pos = source->position = pstk_engine_place(delivery, &frames[count - 1]);
        source->position_ord = 0;
    }
    if (!plain->step)
        return;
    source->sent_upstream += count;
    open->source_pos = stream->next_seq = plain->seq;
}

/* JSON that is not plain, but one sample each: one by one. */
static size_t take_singles(pstk_engine *engine, const pstk_delivery *delivery, pstk_plain *plain,
                           const pstk_frame *frames, size_t count) {
    pstk_source *source = &engine->source[delivery->source];
    pstk_open_block *open = &engine->block;
    size_t taken = 0;
    pstk_drop reason;
    for (; taken < count; taken++) {
        const pstk_frame *frame = &frames[taken];
        if (frame->payload_bytes > source->options.frame_bytes_max ||
            !pstk_engine_has_room(engine, source, frame->payload_bytes, &reason) ||
            !pstk_engine_claim_block(engine, delivery->source, source->counts_stream))
            break;
        pstk_sample *out = (pstk_sample *)(void *)open->payload + open->count;
        if (!pstk_parse_one(engine->parser, (pstk_format)source->options.format, plain,
                            frame->subject, frame->subject_bytes, frame->payload,
                            frame->payload_bytes, out))
            break;
        if (has_new_names(engine))
            break; /* they have to be journaled first */
        plain->seq += plain->step;
        keep_run(engine, delivery, plain, frame, 1);
    }
    return taken;
}

/* The messages that are like the one before, one plain sample each: what pstk_engine_take_frame
 * does for all of them is done once. Returns how many; the next one goes its way. */
static size_t take_run(pstk_engine *engine, const pstk_delivery *delivery, const pstk_frame *frames,
                       size_t count) {
    pstk_source *source = &engine->source[delivery->source];
    const size_t batch_bytes = (size_t)PSTK_PLAIN_BATCH * PSTK_PLAIN_BYTES_MAX;
    pstk_open_block *open = &engine->block;
    pstk_plain plain;
    pstk_drop reason;
    if (!begin_run(engine, delivery, &plain))
        return 0;
    for (size_t taken = 0, made, batch;; taken += made) {
        batch = PSTK_MIN(count - taken, PSTK_PLAIN_BATCH);
        if (batch == 0 || !pstk_engine_has_room(engine, source, batch_bytes, &reason) ||
            !pstk_engine_claim_block(engine, delivery->source, source->counts_stream))
            return taken;
        batch = PSTK_MIN(batch, PSTK_BLOCK_SAMPLES_MAX - open->count);
        pstk_sample *out = (pstk_sample *)(void *)open->payload + open->count;
        made = pstk_parse_plain(engine->parser, (pstk_format)source->options.format, &plain,
                                &frames[taken], batch, out);
        keep_run(engine, delivery, &plain, &frames[taken], made);
        if (made < batch && source->options.format == PSTK_FORMAT_JSON)
            made += take_singles(engine, delivery, &plain, &frames[taken + made], batch - made);
        if (made < batch)
            return taken + made;
    }
}

/* Frames of one receive, in their order. Returns how many were taken: fewer where the source may
 * wait and there is no room. */
size_t pstk_engine_take_frames(pstk_engine *engine, const pstk_delivery *delivery,
                               const pstk_frame *frames, size_t count) {
    pstk_delivery each = *delivery;
    size_t taken = 0;
    while (taken < count) {
        if (each.base)
            each.position = pstk_engine_place(&each, &frames[taken]);
        if (!pstk_engine_take_frame(engine, &each, &frames[taken]))
            break;
        taken++;
        taken += take_run(engine, &each, &frames[taken], count - taken);
    }
    return taken;
}
