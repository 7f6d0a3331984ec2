/* SPDX-License-Identifier: Apache-2.0
 * Calls, and translations of errors; what is done with them stands in data/sentencepiece.c. */
#include "data/sentencepiece_cxx.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <cstring>
#include <exception>
#include <string>
#include <unordered_map>
#include <vector>

struct spm_model {
    sentencepiece::SentencePieceProcessor processor;
};

namespace {

/* Allocates nothing, since it may be said that there was no memory. */
void
give_reason(const char *text, char *ret_reason, size_t reason_size) noexcept
{
    size_t len = std::strlen(text);
    if (len >= reason_size)
        len = reason_size - 1;
    std::memcpy(ret_reason, text, len);
    ret_reason[len] = 0;
}

/* Runs what gives a status, and says what went wrong. */
template <typename Call>
bool
attempt(char *ret_reason, size_t reason_size, Call call) noexcept
{
    try {
        const sentencepiece::util::Status status = call();
        if (!status.ok())
            give_reason(status.error_message(), ret_reason, reason_size);
        return status.ok();
    } catch (const std::exception &error) {
        give_reason(error.what(), ret_reason, reason_size);
        return false;
    } catch (...) {
        give_reason("an exception of the library", ret_reason, reason_size);
        return false;
    }
}

class Sentences : public sentencepiece::SentenceIterator {
public:
    Sentences(const char *(*next)(void *, size_t *), void *context)
        : next_(next), context_(context)
    {
        Next();
    }
    bool done() const override { return done_; }
    void Next() override
    {
        size_t len = 0;
        const char *text = next_(context_, &len);
        done_ = text == nullptr;
        if (text)
            value_.assign(text, len);
    }
    const std::string &value() const override { return value_; }
    sentencepiece::util::Status status() const override { return {}; }

private:
    const char *(*next_)(void *, size_t *);
    void *context_;
    std::string value_;
    bool done_ = false;
};

} // namespace

struct spm_model *
spm_open(const void *bytes, size_t len, char *ret_reason, size_t reason_size)
{
    struct spm_model *model = nullptr;
    bool ok = attempt(ret_reason, reason_size, [&] {
        model = new spm_model;
        return model->processor.LoadFromSerializedProto(
            {static_cast<const char *>(bytes), len});
    });
    if (ok)
        return model;
    delete model;
    return nullptr;
}

void
spm_close(struct spm_model *model)
{
    delete model;
}

int
spm_count(const struct spm_model *model)
{
    return model->processor.GetPieceSize();
}

const char *
spm_piece(const struct spm_model *model, int id, enum spm_kind *ret_kind)
{
    const auto &processor = model->processor;
    *ret_kind = processor.IsUnknown(id)   ? SPM_UNKNOWN
                : processor.IsControl(id) ? SPM_CONTROL
                : processor.IsByte(id)    ? SPM_BYTE
                                          : SPM_NORMAL;
    return processor.IdToPiece(id).c_str();
}

float
spm_score(const struct spm_model *model, int id)
{
    return model->processor.GetScore(id);
}

bool
spm_encode(const struct spm_model *model, const char *text, size_t len,
           void (*put)(void *context, const int *ids, size_t count), void *context,
           char *ret_reason, size_t reason_size)
{
    return attempt(ret_reason, reason_size, [&] {
        std::vector<int> ids;
        const auto status = model->processor.Encode({text, len}, &ids);
        if (status.ok())
            put(context, ids.data(), ids.size());
        return status;
    });
}

bool
spm_train(const struct spm_setting *settings, size_t settings_count,
          const char *(*next)(void *context, size_t *ret_len), void *context,
          void (*put)(void *context, const void *bytes, size_t len), char *ret_reason,
          size_t reason_size)
{
    return attempt(ret_reason, reason_size, [&] {
        std::unordered_map<std::string, std::string> named;
        for (size_t i = 0; i < settings_count; i++)
            named[settings[i].name] = settings[i].value;
        Sentences sentences(next, context);
        std::string bytes;
        const auto status =
            sentencepiece::SentencePieceTrainer::Train(named, &sentences, &bytes);
        if (status.ok())
            put(context, bytes.data(), bytes.size());
        return status;
    });
}
