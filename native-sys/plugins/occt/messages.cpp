// Owns OpenCASCADE's messenger and std::cout during a conversion. A damaged file makes a line for each entity:
// the first ones are passed on, the rest is counted.
#include "messages.hpp"

#include <Message.hxx>
#include <Message_Messenger.hxx>
#include <Message_Printer.hxx>

#include <atomic>
#include <iostream>
#include <mutex>

namespace occt {
namespace {

constexpr int kLines = 50;

class Lines {
public:
    explicit Lines(const Host &host) : host_(host) {}
    ~Lines() {
        const int more = seen_ - kLines;
        if (more > 0) host_.log(CADMILL_LOG_DEBUG, count(static_cast<uint64_t>(more), "further message") + " of OpenCASCADE");
    }
    void add(std::string line) {
        while (!line.empty() && (line.back() == '\n' || line.back() == '\r' || line.back() == ' ')) line.pop_back();
        if (line.empty() || seen_.fetch_add(1) >= kLines) return;
        if (line.size() > 1000) line.resize(1000);
        host_.log(CADMILL_LOG_DEBUG, line);
    }

private:
    Host host_;
    std::atomic<int> seen_{0};
};

class Printer : public Message_Printer {
    DEFINE_STANDARD_RTTI_INLINE(Printer, Message_Printer)
public:
    explicit Printer(std::shared_ptr<Lines> lines) : lines_(std::move(lines)) {}

protected:
    void send(const TCollection_AsciiString &text, const Message_Gravity gravity) const override {
        if (gravity >= Message_Info) lines_->add(text.ToCString());
    }

private:
    std::shared_ptr<Lines> lines_;
};

class Output : public std::streambuf {
public:
    explicit Output(std::shared_ptr<Lines> lines) : lines_(std::move(lines)) {}
    ~Output() override { flush(); }

protected:
    int_type overflow(int_type c) override {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (c == traits_type::eof()) return traits_type::not_eof(c);
        if (c == '\n' || line_.size() > 1000) flush();
        if (c != '\n') line_ += static_cast<char>(c);
        return c;
    }

private:
    void flush() {
        lines_->add(line_);
        line_.clear();
    }
    std::mutex mutex_;
    std::string line_;
    std::shared_ptr<Lines> lines_;
};

} // namespace

Messages::Messages(const Host &host) {
    auto lines = std::make_shared<Lines>(host);
    auto &printers = Message::DefaultMessenger()->ChangePrinters();
    printers.Clear();
    printers.Append(new Printer(lines));
    lines_ = std::make_unique<Output>(lines);
    before_ = std::cout.rdbuf(lines_.get());
}

Messages::~Messages() {
    std::cout.rdbuf(before_);
    Message::DefaultMessenger()->ChangePrinters().Clear();
}

} // namespace occt
