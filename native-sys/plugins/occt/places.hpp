// Where OpenCASCADE looks for its settings, reads references and writes its files.
#pragma once

#include "job.hpp"

#include <string>
#include <vector>

namespace occt {

// The current directory for a while.
class CurrentDirectory {
public:
    explicit CurrentDirectory(const std::string &path);
    ~CurrentDirectory();
    CurrentDirectory(const CurrentDirectory &) = delete;
    CurrentDirectory &operator=(const CurrentDirectory &) = delete;

private:
    int before_;
};

std::string directoryOf(const std::string &path);
std::string nameOf(const std::string &path);

// The one that OpenCASCADE needs for GLB, in scratch_dir.
std::string temporaryFile(const Job &job);

// The files of the output. Those of a conversion that fails are removed.
class Output {
public:
    explicit Output(const Job &job);
    ~Output();
    Output(const Output &) = delete;
    Output &operator=(const Output &) = delete;

    const std::string &path() const { return files_.front(); }
    // Checks that it is there, and keeps it.
    void complete();

private:
    // The main one, and those that OpenCASCADE writes beside it or in scratch_dir.
    std::vector<std::string> files_;
    bool complete_ = false;
};

} // namespace occt
