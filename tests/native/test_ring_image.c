/* Images: what was written comes back, or is refused; a damaged byte anywhere is never believed. */
#include "test_ring.h"

static const uint8_t other_id[16] = {9};
static uint8_t long_bytes[3000];

static pstk_image_head head_of(uint64_t generation, uint32_t count) {
    pstk_image_head head = {.pos = generation * 100,
                            .engine_time_ns = -5,
                            .generation = generation,
                            .layout = 1,
                            .section_count = count};
    memcpy(head.journal_id, test_id, sizeof test_id);
    return head;
}

static void write_image(uint64_t generation) {
    pstk_error err;
    uint64_t word = generation;
    const pstk_section sections[] = {
        {1, 7, "short", 5}, {2, 1, NULL, 0}, {3, 1, long_bytes, 150}, {4, 2, &word, 8}};
    pstk_image_head head = head_of(generation, 4);
    REQUIRE(pstk_image_write(test_dir, &head, sections, generation % 2 == 0, &err) == PSTK_OK);
}

typedef struct loaded {
    int status;
    bool is_found;
    uint32_t damaged;
    uint64_t generation;
    pstk_error err;
} loaded;

static loaded load(const uint8_t *journal_id) {
    loaded result = {0};
    pstk_image image;
    result.status = pstk_image_load(test_dir, journal_id, 1, &image, &result.is_found,
                                    &result.damaged, &result.err);
    if (result.is_found) {
        result.generation = image.head.generation;
        const pstk_section *word = pstk_image_section(&image, 4);
        const pstk_section *text = pstk_image_section(&image, 1),
                           *three = pstk_image_section(&image, 3);
        CHECK(word && word->size == 8 && word->version == 2 &&
              memcmp(word->bytes, &image.head.generation, 8) == 0);
        CHECK(text && text->size == 5 && text->version == 7 &&
              memcmp(text->bytes, "short", 5) == 0);
        CHECK(three && three->size == 150 && memcmp(three->bytes, long_bytes, 150) == 0);
        CHECK(((uintptr_t)three->bytes & 63) == 0 && ((uintptr_t)word->bytes & 63) == 0);
        CHECK(image.head.pos == image.head.generation * 100 && image.head.engine_time_ns == -5);
        CHECK(pstk_image_section(&image, 2)->size == 0 && pstk_image_section(&image, 9) == NULL);
    }
    pstk_image_free(&image);
    return result;
}

static size_t read_file(const char *name, uint8_t *out, size_t capacity) {
    char path[128];
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s", test_dir, name);
    int fd = open(path, O_RDONLY);
    REQUIRE(fd >= 0 && pstk_io_read(fd, out, capacity, &size) == 0);
    close(fd);
    return size;
}

static void write_file(const char *name, const void *bytes, size_t size) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", test_dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    REQUIRE(fd >= 0 && pstk_io_write(fd, bytes, size) == 0);
    close(fd);
}

static void clear(void) {
    test_end();
    REQUIRE(mkdir(test_dir, 0700) == 0);
}

static void test_the_newest_is_loaded_and_the_older_replaced(void) {
    clear();
    CHECK(load(test_id).status == PSTK_OK && !load(test_id).is_found);
    for (uint64_t generation = 1; generation <= 6; generation++) {
        write_image(generation);
        CHECK(load(test_id).generation == generation);
        CHECK(load(NULL).generation == generation && load(test_id).damaged == 0);
    }
    CHECK(!load(other_id).is_found && load(other_id).damaged == 0);
    char path[128];
    snprintf(path, sizeof path, "%s/image.tmp", test_dir);
    CHECK(access(path, F_OK) != 0);
}

static void test_each_flipped_bit_is_refused(void) {
    static uint8_t bytes[4096];
    clear();
    write_image(1);
    size_t size = read_file("image.A", bytes, sizeof bytes);
    REQUIRE(size > 300 && size < sizeof bytes);
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        write_file("image.A", bytes, size);
        loaded result = load(test_id);
        CHECK(result.status == PSTK_OK && !result.is_found && result.damaged == 1);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (size_t cut = 0; cut < size; cut++) {
        write_file("image.A", bytes, cut);
        CHECK(!load(test_id).is_found && load(test_id).damaged == 1);
    }
    write_file("image.A", bytes, size + 1);
    CHECK(!load(test_id).is_found);
    write_file("image.A", bytes, size);
    CHECK(load(test_id).is_found);
}

static void test_a_damaged_image_falls_back_to_the_other(void) {
    static uint8_t bytes[4096];
    clear();
    write_image(1); /* A */
    write_image(2); /* B */
    size_t size = read_file("image.B", bytes, sizeof bytes);
    bytes[size - 1] ^= 1; /* body: the header still says generation 2 */
    write_file("image.B", bytes, size);
    loaded result = load(test_id);
    CHECK(result.generation == 1 && result.damaged == 1);
    write_image(
        3); /* the writer sees a sound header in B: A, the older by name, is replaced whole */
    CHECK(load(test_id).generation == 3);
    bytes[0] ^= 1; /* now the header is damaged too */
    write_file("image.B", bytes, size);
    CHECK(load(test_id).generation == 3 && load(test_id).damaged == 1);
    write_image(4); /* replaces the damaged one */
    CHECK(load(test_id).generation == 4 && load(test_id).damaged == 0);
    write_file("image.A", bytes, 10);
    CHECK(load(test_id).generation == 4 && load(test_id).damaged == 1);
}

static void test_another_journals_images_are_replaced_one_by_one(void) {
    clear();
    write_image(41);
    write_image(42);
    pstk_image_head head = head_of(1, 0);
    pstk_error err;
    memcpy(head.journal_id, other_id, sizeof other_id);
    REQUIRE(pstk_image_write(test_dir, &head, NULL, true, &err) == PSTK_OK);
    CHECK(load(test_id).generation == 42);
    pstk_image image;
    bool is_found = false;
    uint32_t damaged = 0;
    CHECK(pstk_image_load(test_dir, other_id, 1, &image, &is_found, &damaged, &err) == PSTK_OK &&
          is_found);
    CHECK(image.head.generation == 1 && image.head.section_count == 0);
    pstk_image_free(&image);
    head.generation = 2;
    REQUIRE(pstk_image_write(test_dir, &head, NULL, true, &err) == PSTK_OK);
    CHECK(!load(test_id).is_found && load(test_id).damaged == 0);
}

static void test_a_newer_layout_is_refused_by_name(void) {
    clear();
    write_image(1);
    pstk_image_head head = head_of(2, 0);
    pstk_error err;
    head.layout = 2;
    REQUIRE(pstk_image_write(test_dir, &head, NULL, false, &err) == PSTK_OK);
    loaded result = load(test_id);
    CHECK(result.status == PSTK_E_STATE && !result.is_found &&
          strstr(result.err.text, "layout 2") != NULL);
    CHECK(load(other_id).status == PSTK_OK); /* not its journal */
}

static void test_errors_leave_the_older_images(void) {
    pstk_error err;
    pstk_image_head head = head_of(9, PSTK_IMAGE_SECTIONS_MAX + 1);
    clear();
    write_image(1);
    CHECK(pstk_image_write(test_dir, &head, NULL, false, &err) == PSTK_E_ARGUMENT);
    head.section_count = 1;
    const pstk_section huge = {1, 1, long_bytes, UINT64_MAX - 10};
    CHECK(pstk_image_write(test_dir, &head, &huge, false, &err) == PSTK_E_ARGUMENT);
    CHECK(pstk_image_write("/dev/shm/penstock-is-not-there", &head, &huge, false, &err) ==
          PSTK_E_ARGUMENT);
    head.section_count = 0;
    CHECK(pstk_image_write("/dev/shm/penstock-is-not-there", &head, NULL, false, &err) ==
          PSTK_E_SYSTEM);
    CHECK(err.os_error == ENOENT && strstr(err.text, "penstock-is-not-there"));
    char path[128];
    snprintf(path, sizeof path, "%s/image.B", test_dir);
    REQUIRE(mkdir(path, 0700) == 0); /* rename over a directory fails */
    CHECK(pstk_image_write(test_dir, &head, NULL, true, &err) == PSTK_E_SYSTEM);
    snprintf(path, sizeof path, "%s/image.tmp", test_dir);
    CHECK(access(path, F_OK) != 0);
    CHECK(load(test_id).generation == 1);
}

static void read_long(void *context, const pstk_section *section, uint64_t at, void *out,
                      size_t bytes) {
    CHECK(bytes <= PSTK_IMAGE_PIECE_BYTES && at + bytes <= section->size);
    memcpy(out, (const uint8_t *)context + at, bytes);
}

static bool holds(const char *folder, uint64_t generation, const void *body, uint64_t size) {
    pstk_image image;
    pstk_error err;
    bool is_found = false;
    uint32_t damaged = 0;
    CHECK(pstk_image_load(folder, test_id, 1, &image, &is_found, &damaged, &err) == PSTK_OK);
    if (!is_found || damaged)
        return false;
    const pstk_section *one = pstk_image_section(&image, 1), *two = pstk_image_section(&image, 2);
    bool is_same = image.head.generation == generation && one && one->size == size &&
                   memcmp(one->bytes, body, size) == 0 && two && two->size == 3 &&
                   memcmp(two->bytes, body, 3) == 0;
    pstk_image_free(&image);
    return is_same;
}

/* Larger and smaller ones in turn, each over the file of the one before the last. */
static void test_what_is_read_in_pieces_is_written_and_copied(void) {
    enum { PIECE = PSTK_IMAGE_PIECE_BYTES };
    static const uint64_t sizes[] = {10, 3 * PIECE + 77, PIECE, 5 * PIECE, 0, 2 * PIECE + 1, 64};
    static uint8_t body[5 * PIECE];
    char folder[128];
    pstk_error err;
    pstk_image_reader reader = {read_long, body};
    clear();
    snprintf(folder, sizeof folder, "%s/copy", test_dir);
    REQUIRE(mkdir(folder, 0700) == 0);
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (uint8_t)(i * 31 >> 3);
    for (uint64_t generation = 1; generation < 20; generation++) {
        uint64_t size = sizes[generation % 7];
        const pstk_section sections[] = {{1, 1, NULL, size}, {2, 1, NULL, 3}};
        pstk_image_head head = head_of(generation, 2);
        REQUIRE(pstk_image_write_from(test_dir, &head, sections, &reader, false, &err) == PSTK_OK);
        CHECK(holds(test_dir, generation, body, size));
        REQUIRE(pstk_image_copy(test_dir, folder, &head, &err) == PSTK_OK);
        CHECK(holds(folder, generation, body, size));
        head.generation++;
        CHECK(pstk_image_copy(test_dir, folder, &head, &err) == PSTK_E_SYSTEM);
        CHECK(holds(folder, generation, body, size));
    }
    char path[160];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/image.%c", folder, 'A' + i);
        CHECK(unlink(path) == 0);
    }
    CHECK(rmdir(folder) == 0);
}

int main(void) {
    for (size_t i = 0; i < sizeof long_bytes; i++)
        long_bytes[i] = pattern_at(3, i);
    test_begin();
    test_the_newest_is_loaded_and_the_older_replaced();
    test_each_flipped_bit_is_refused();
    test_a_damaged_image_falls_back_to_the_other();
    test_another_journals_images_are_replaced_one_by_one();
    test_a_newer_layout_is_refused_by_name();
    test_errors_leave_the_older_images();
    test_what_is_read_in_pieces_is_written_and_copied();
    test_end();
    return check_result("ring_image");
}
