/* SPDX-License-Identifier: Apache-2.0
 * One table of clouds: how a machine is known as theirs, where they answer, how they are asked. A
 * question that gets no answer changes nothing: a metadata service that restarts is no notice. */
#include "worker/owner/clouds.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/vfs.h"

enum { OK = 200, UNAUTHORIZED = 401, NOT_FOUND = 404 };

static long
ask(struct dpc_cloud_talk *talk, const char *method, const char *place, const char *header)
{
    dpc_buf_reset(&talk->answer);
    return talk->ask(talk->context, method, place, header, &talk->answer);
}

/* Parses the answer; NULL when it is no JSON. */
static struct dpc_json *
answer_json(struct dpc_cloud_talk *talk)
{
    struct dpc_json *root = NULL;
    struct dpc_error err;
    const char *text = dpc_buf_text(&talk->answer);
    return dpc_json_parse(text, talk->answer.len, &root, &err) == DPC_OK ? root : NULL;
}

static void
say(struct dpc_cloud_news *news, enum dpc_notice_state state, const char *text)
{
    news->state = state;
    (void)snprintf(news->text, sizeof news->text, "%s", text);
}

/* A word of the answer, which goes into a log and a header: no blank, no line break, no control. */
static bool
is_word(const char *text)
{
    size_t len = 0;
    while (text[len] > ' ' && text[len] < 0x7F)
        len++;
    return len > 0 && !text[len];
}

/* The whole answer, if it is a word that has room. */
static bool
take_word(struct dpc_cloud_talk *talk, char *ret_word, size_t size)
{
    const char *text = dpc_buf_text(&talk->answer);
    if (talk->answer.len >= size || strlen(text) != talk->answer.len || !is_word(text))
        return false;
    memcpy(ret_word, text, talk->answer.len + 1);
    return true;
}

/* --- AWS: a token first (IMDSv2), which ends some time. */

static long
ask_aws(struct dpc_cloud_talk *talk, const char *place)
{
    char header[sizeof talk->token + 64];
    if (!*talk->token) {
        long status =
            ask(talk, "PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 21600");
        if (status != OK || !take_word(talk, talk->token, sizeof talk->token))
            return DPC_CLOUD_SILENT;
    }
    (void)snprintf(header, sizeof header, "X-aws-ec2-metadata-token: %s", talk->token);
    long status = ask(talk, "GET", place, header);
    if (status == UNAUTHORIZED)
        talk->token[0] = '\0';
    return status;
}

static void
poll_aws(struct dpc_cloud_talk *talk, struct dpc_cloud_news *news)
{
    long status = ask_aws(talk, "/latest/meta-data/spot/instance-action");
    if (status == OK) {
        struct dpc_json *root = answer_json(talk);
        char text[DPC_NOTICE_TEXT_MAX];
        const char *action = dpc_json_text(dpc_json_get(root, "action"), "");
        (void)snprintf(text, sizeof text, "AWS will %.32s this instance",
                       is_word(action) ? action : "interrupt");
        dpc_json_destroy(root);
        say(news, DPC_NOTICE_LEAVING, text);
        return;
    }
    if (status != NOT_FOUND)
        return;
    status = ask_aws(talk, "/latest/meta-data/events/recommendations/rebalance");
    if (status == OK)
        say(news, DPC_NOTICE_RISK, "AWS recommends to leave this instance");
    else if (status == NOT_FOUND)
        say(news, DPC_NOTICE_CALM, "");
}

/* --- Google. */

static void
poll_gcp(struct dpc_cloud_talk *talk, struct dpc_cloud_news *news)
{
    if (ask(talk, "GET", "/computeMetadata/v1/instance/preempted", "Metadata-Flavor: Google") != OK)
        return;
    const char *text = dpc_buf_text(&talk->answer);
    if (strncmp(text, "TRUE", 4) == 0)
        say(news, DPC_NOTICE_LEAVING, "Google preempts this instance");
    else if (strncmp(text, "FALSE", 5) == 0)
        say(news, DPC_NOTICE_CALM, "");
}

/* --- Azure: events of a whole group of machines, of which this one is known by its name. */

static bool
names_this_machine(const struct dpc_json *event, const char *name)
{
    const struct dpc_json *resources = dpc_json_get(event, "Resources");
    for (size_t i = 0; i < dpc_json_count(resources); i++) {
        if (strcmp(dpc_json_text(dpc_json_at(resources, i), ""), name) == 0)
            return true;
    }
    return false;
}

static bool
learn_name(struct dpc_cloud_talk *talk)
{
    return *talk->name ||
           (ask(talk, "GET", "/metadata/instance/compute/name?api-version=2020-07-01&format=text",
                "Metadata: true") == OK &&
            take_word(talk, talk->name, sizeof talk->name));
}

static void
poll_azure(struct dpc_cloud_talk *talk, struct dpc_cloud_news *news)
{
    if (!learn_name(talk) || ask(talk, "GET", "/metadata/scheduledevents?api-version=2020-07-01",
                                 "Metadata: true") != OK)
        return;
    struct dpc_json *root = answer_json(talk);
    const struct dpc_json *events = dpc_json_get(root, "Events");
    if (root)
        say(news, DPC_NOTICE_CALM, "");
    for (size_t i = 0; i < dpc_json_count(events); i++) {
        const struct dpc_json *event = dpc_json_at(events, i);
        const char *type = dpc_json_text(dpc_json_get(event, "EventType"), "");
        if ((strcmp(type, "Preempt") == 0 || strcmp(type, "Terminate") == 0) &&
            names_this_machine(event, talk->name))
            say(news, DPC_NOTICE_LEAVING, "Azure takes this machine back");
    }
    dpc_json_destroy(root);
}

/* --- The clouds. */

static const struct cloud {
    const char *word;
    const char *dmi_file, *dmi_text; /* by which a machine is known as theirs */
    const char *url;
    void (*poll)(struct dpc_cloud_talk *talk, struct dpc_cloud_news *news);
} clouds[] = {
    [DPC_CLOUD_AUTO] = {.word = "auto"},
    [DPC_CLOUD_NONE] = {.word = "none"},
    [DPC_CLOUD_AWS] = {"aws", "sys_vendor", "Amazon EC2", "http://169.254.169.254", poll_aws},
    [DPC_CLOUD_GCP] = {"gcp", "product_name", "Google Compute Engine",
                       "http://metadata.google.internal", poll_gcp},
    [DPC_CLOUD_AZURE] = {"azure", "chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77",
                         "http://169.254.169.254", poll_azure},
};

enum { CLOUDS = sizeof clouds / sizeof *clouds };

bool
dpc_cloud_parse(const char *word, enum dpc_cloud *ret_cloud)
{
    for (int i = 0; i < CLOUDS; i++) {
        if (strcmp(clouds[i].word, word) == 0) {
            *ret_cloud = (enum dpc_cloud)i;
            return true;
        }
    }
    return false;
}

const char *
dpc_cloud_name(enum dpc_cloud cloud)
{
    return clouds[cloud].word;
}

static bool
dmi_says(const char *folder, const struct cloud *cloud)
{
    enum { DMI_BYTES_MAX = 4096 };
    char path[DPC_PATH_MAX];
    uint8_t *bytes;
    size_t len;
    if (!cloud->dmi_file || dpc_path_join(folder, cloud->dmi_file, path, sizeof path) != DPC_OK ||
        dpc_vfs_read_file(&dpc_vfs_posix, path, DMI_BYTES_MAX, &bytes, &len, NULL) != DPC_OK)
        return false;
    size_t wanted = strlen(cloud->dmi_text);
    bool says = len >= wanted && memcmp(bytes, cloud->dmi_text, wanted) == 0;
    dpc_free(bytes);
    return says;
}

enum dpc_cloud
dpc_cloud_detect(const char *dmi_folder)
{
    for (int i = 0; i < CLOUDS; i++) {
        if (dmi_says(dmi_folder ? dmi_folder : "/sys/class/dmi/id", &clouds[i]))
            return (enum dpc_cloud)i;
    }
    return DPC_CLOUD_NONE;
}

const char *
dpc_cloud_url(enum dpc_cloud cloud)
{
    return clouds[cloud].url;
}

void
dpc_cloud_ask(enum dpc_cloud cloud, struct dpc_cloud_talk *talk, struct dpc_cloud_news *news)
{
    clouds[cloud].poll(talk, news);
}
