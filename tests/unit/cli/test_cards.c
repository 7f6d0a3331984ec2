/* SPDX-License-Identifier: Apache-2.0
 * Buses as the kernel shows them: a folder a device, numbers in files. */
#include "cli/cards.h"

#include "tests/unit/data/temp.h"
#include "tests/unit/harness.h"

static void
add_device(struct temp *temp, const char *device, const char *vendor, const char *class)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s/vendor", device);
    temp_write_text(temp, name, vendor);
    (void)snprintf(name, sizeof name, "%s/class", device);
    temp_write_text(temp, name, class);
}

static void
test_fitted(void)
{
    static const struct {
        const char *vendor, *class;
        bool is_card;
    } devices[] = {
        {"0x1002\n", "0x030000\n", false}, /* another's card */
        {"0x10de\n", "0x040300\n", false}, /* the sound of one */
        {"0x10de\n", "", false},           {"", "0x030000\n", false},
        {"0x10de\n", "0x030000\n", true},  {"0x10de\n", "0x030200\n", true},
    };
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        struct temp temp;
        temp_make(&temp);
        add_device(&temp, "0000:00:1f.0", "0x8086\n", "0x060100\n");
        add_device(&temp, "0000:01:00.0", devices[i].vendor, devices[i].class);
        CU_ASSERT_EQUAL(dpc_cards_are_fitted(temp.folder), devices[i].is_card);
        temp_remove(&temp);
    }
}

static void
test_no_bus(void)
{
    struct temp temp;
    temp_make(&temp);
    CU_ASSERT_FALSE(dpc_cards_are_fitted(temp.folder));
    CU_ASSERT_FALSE(dpc_cards_are_fitted(temp_path(&temp, "none")));
    temp_write_text(&temp, "file", "0x10de\n");
    CU_ASSERT_FALSE(dpc_cards_are_fitted(temp.folder));
    temp_remove(&temp);
}

static const struct dpc_test tests[] = {
    {"NVIDIA's cards are told from what else is there", test_fitted},
    {"a machine without a bus has none", test_no_bus},
};
DPC_TEST_MAIN("cli/cards", tests)
