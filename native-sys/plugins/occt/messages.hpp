// What OpenCASCADE prints, and how far it is.
#pragma once

#include "job.hpp"

#include <Message_ProgressIndicator.hxx>

#include <memory>
#include <streambuf>

namespace occt {

// Sends OpenCASCADE's messages, and what its parsers print to std::cout, to the log of the host. For its lifetime.
class Messages {
public:
    explicit Messages(const Host &host);
    ~Messages();
    Messages(const Messages &) = delete;
    Messages &operator=(const Messages &) = delete;

private:
    std::unique_ptr<std::streambuf> lines_;
    std::streambuf *before_;
};

// Maps the progress of one step to a part of the whole. UserBreak() is called by worker threads, up to
// thousands of times a second, and only asks the host.
class Progress : public Message_ProgressIndicator {
    DEFINE_STANDARD_RTTI_INLINE(Progress, Message_ProgressIndicator)
public:
    Progress(const Host &host, uint32_t stage, double from, double to)
        : host_(host), stage_(stage), from_(from), to_(to) {}

protected:
    Standard_Boolean UserBreak() override { return host_.cancelled(); }
    void Show(const Message_ProgressScope &, const Standard_Boolean) override {
        host_.progress(stage_, from_ + (to_ - from_) * GetPosition());
    }

private:
    Host host_;
    uint32_t stage_;
    double from_, to_;
};

} // namespace occt
