// Owns the current directory and the files of the output.
#include "places.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace occt {
namespace {

[[noreturn]] void failWith(const char *what) { fail(CADMILL_FAILED, std::string(what) + ": " + std::strerror(errno)); }

} // namespace

CurrentDirectory::CurrentDirectory(const std::string &path) : before_(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)) {
    if (chdir(path.c_str()) == 0) return;
    const int error = errno;
    if (before_ >= 0) close(before_);
    errno = error;
    failWith("the directory cannot be entered");
}

CurrentDirectory::~CurrentDirectory() {
    if (before_ < 0) return;
    if (fchdir(before_) != 0) { /* It was removed meanwhile; nothing depends on it. */ }
    close(before_);
}

std::string directoryOf(const std::string &path) {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

std::string nameOf(const std::string &path) {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? path : path.substr(slash + 1);
}

std::string temporaryFile(const Job &job) { return std::string(job.request->scratch_dir) + "/occt.bin"; }

Output::Output(const Job &job) : files_{job.request->output} {
    const std::string name = nameOf(path());
    const std::string stem = directoryOf(path()) + "/" + name.substr(0, name.rfind('.'));
    if (job.out == Format::Glb) files_.push_back(temporaryFile(job));
    if (job.out == Format::Gltf) files_.push_back(stem + ".bin");
    if (job.out == Format::Obj) files_.push_back(stem + ".mtl");
}

Output::~Output() {
    if (complete_) return;
    for (const std::string &file : files_) unlink(file.c_str());
}

void Output::complete() {
    struct stat status;
    if (stat(path().c_str(), &status) != 0 || status.st_size == 0) fail(CADMILL_FAILED, "OpenCASCADE wrote no output");
    complete_ = true;
}

} // namespace occt
