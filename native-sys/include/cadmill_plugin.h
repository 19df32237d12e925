/* cadmill_plugin.h - version 1 of the interface between cadmill and a converter in a shared library.
 *
 * SPDX-License-Identifier: 0BSD
 * This file alone is under the BSD Zero Clause License: copy it into any source tree, without a notice.
 *
 * A plugin is a shared library that exports one function, cadmill_plugin_entry_v1(). cadmill loads it in
 * a process of its own, which is confined before the first instruction of the library runs, converts one
 * file and ends. docs/ABI.md explains the interface, docs/BRING-YOUR-OWN.md is a walk through it, and
 * `cadmill engines new` writes a plugin to begin with.
 *
 * Rules
 *  R1  C99. Fixed-width integers, pointers and double only: no enum, bool, long, size_t, bit-field,
 *      variadic function or struct by value.
 *  R2  Each struct begins with `size`, set by its maker. A member exists if and only if it lies wholly
 *      within `size` (CADMILL_HAS), which is at most 65536. Members are added at the end only; none is
 *      removed, moved or given another meaning. Zero and NULL mean that something is absent.
 *  R3  An array is a NULL-terminated array of pointers to such structs, so that its elements can grow.
 *  R4  There is one exported function for each major version. A library may export several.
 *  R5  What is optional goes through extension() under an id "NAME/REVISION", and needs no new major.
 *  R6  Memory is freed by its maker. What describe() returns is valid until the process ends; what a
 *      call is given is valid until the call returns. Nothing is handed over to be freed: the host
 *      copies the texts that it is given.
 *  R7  Text is UTF-8 and ends with a NUL; the host replaces bytes that are not UTF-8. A path is the
 *      bytes of the kernel, absolute, and ends with a NUL.
 *  R8  No C++ exception, longjmp, panic or signal leaves a function of the plugin. A plugin leaves the
 *      handlers of SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT as they were when it has been loaded and
 *      when a call returns: the host names crashes by them. That of SIGSYS is never replaced, not even
 *      for a moment. It does not end the process.
 *  R9  Threads. [main]: called on the thread that called the entry function, one call at a time.
 *      [any]: called on any thread, also at the same time. Threads that convert() or prepare() starts
 *      are joined before it returns.
 *  R10 Confinement. The process reads the library, its dependencies, the directories of the operator's
 *      engines file and input_dir; it writes output_dir and scratch_dir. It has no network, starts no
 *      program, and has no standard input; its environment is LC_ALL=C.UTF-8, MALLOC_ARENA_MAX and
 *      TMPDIR, which is scratch_dir. Text on the standard
 *      streams is counted and discarded, for it may have content of the file: what the owner is to
 *      read goes through log(). Another system call may end the process.
 */
#ifndef CADMILL_PLUGIN_H
#define CADMILL_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The functions of the host throw nothing. Part of their type from C++17 on. */
#if defined(__cplusplus) && __cplusplus >= 201703L
#define CADMILL_NOEXCEPT noexcept
#else
#define CADMILL_NOEXCEPT
#endif

#if defined(__GNUC__) || defined(__clang__)
#define CADMILL_EXPORT __attribute__((visibility("default")))
#else
#define CADMILL_EXPORT
#endif

/* The major version. */
#define CADMILL_ABI 1u

/* Whether the struct that `pointer` points to has the member. */
#define CADMILL_HAS(type, pointer, member) \
    ((pointer)->size >= offsetof(type, member) + sizeof(((const type *)0)->member))

/* ---- Values. None ever changes. ------------------------------------------------------------------ */

/* Result of prepare() and convert(). An unknown value counts as CADMILL_FAILED. */
#define CADMILL_OK 0
#define CADMILL_REJECTED 1     /* The input is not what it should be, or is incomplete. */
#define CADMILL_BAD_OPTION 2   /* An option or a format is unknown or malformed. */
#define CADMILL_NO_MEMORY 3    /* An allocation failed. */
#define CADMILL_CANCELLED 4    /* cancelled() returned nonzero. */
#define CADMILL_UNUSABLE 5     /* A licence, data or a library of the plugin is missing. */
#define CADMILL_FAILED 6       /* A defect of the plugin. */
#define CADMILL_UNFIT 7        /* The input is good, but does not fit the output format or the options. */
#define CADMILL_TEXT_LOST 8    /* Refused, because characters of the input would be missing or others in the
                                  output. A plugin that goes on reports it by CADMILL_LOG_LOSS. */

/* Stage of progress(). */
#define CADMILL_STAGE_READ 1u
#define CADMILL_STAGE_WORK 2u  /* Between reading and writing, e.g. healing or meshing. */
#define CADMILL_STAGE_WRITE 3u

/* Level of log(). */
#define CADMILL_LOG_LOSS 1u    /* The result differs from the input in what no option asked for. */
#define CADMILL_LOG_WARNING 2u /* Something is unusual, or was guessed. */
#define CADMILL_LOG_DEBUG 3u   /* For the developer of the plugin. */

/* Flags of a format. */
#define CADMILL_FORMAT_SEVERAL_FILES 1u /* Further files belong to the main one. */
#define CADMILL_FORMAT_TEXT 2u          /* Compresses well. */

/* Kinds of options. There is none for paths: an option cannot name a file. */
#define CADMILL_OPTION_YES_NO 1u  /* "yes" or "no". */
#define CADMILL_OPTION_INTEGER 2u /* Decimal, within least and most. */
#define CADMILL_OPTION_NUMBER 3u  /* Decimal, with a point, within least and most. */
#define CADMILL_OPTION_CHOICE 4u  /* One of `choices`. */
#define CADMILL_OPTION_TEXT 5u    /* At most 4096 bytes. */

/* Flags of a description. */
#define CADMILL_DETERMINISTIC 1u   /* The same input and options give the same bytes. */
#define CADMILL_THREADS 2u         /* It starts threads, at most max_threads at a time. */
#define CADMILL_ASKS_CANCELLED 4u  /* It calls cancelled() at least every 2 s, as a rule. The host ends the
                                      process of one that does not return in time. */
#define CADMILL_ONE_CONVERSION 8u  /* convert() works once in a process. */

/* Flags of a request. */
#define CADMILL_REQUEST_STRICT 1u  /* A result that differs from the input is refused by the host:
                                               report each difference with CADMILL_LOG_LOSS. */

/* ---- What the host offers ------------------------------------------------------------------------ */

/* Valid during the call that was given it. */
typedef struct cadmill_host {
    uint64_t size;
    uint32_t abi;         /* CADMILL_ABI of the host. Later minor versions show by `size` alone. */
    uint32_t max_threads; /* Threads, the main one included, that are worth running at a time; at least 1. */
    uint64_t max_memory;  /* In bytes; 0 if unknown. A process that exceeds it is ended. */
    void *context;        /* First argument of all functions below. */
    /* [any] Progress over the whole conversion, from 0 to 1. The host limits the rate. */
    void (*progress)(void *context, uint32_t stage, double fraction) CADMILL_NOEXCEPT;
    /* [any] One line for the owner of the file, at most 4096 bytes. */
    void (*log)(void *context, uint32_t level, const char *line) CADMILL_NOEXCEPT;
    /* [any] Nonzero: return CADMILL_CANCELLED within 2 s. Costs one load of an atomic variable. */
    int32_t (*cancelled)(void *context) CADMILL_NOEXCEPT;
    /* [main] Why the call is going to return another value than CADMILL_OK, at most 4000 bytes. The last one
       counts; an empty one takes it back. A call that returns CADMILL_OK all the same is a defect. */
    void (*fail)(void *context, const char *reason) CADMILL_NOEXCEPT;
    /* [main] A fact for the report of the job, e.g. "solids" = "12" or "unit" = "mm". A name has 1 to 64 of
       a-z 0-9 . _ - and a value at most 1024 bytes; the last value of a name counts; at most 64 names. */
    void (*fact)(void *context, const char *name, const char *value) CADMILL_NOEXCEPT;
    /* [any] NULL if the id is unknown. Version 1 knows none. */
    const void *(*extension)(void *context, const char *id) CADMILL_NOEXCEPT;
} cadmill_host;

/* ---- What the plugin says of itself: constant, and made without opening a file -------------------- */

typedef struct cadmill_format {
    uint64_t size;
    const char *id;         /* What users type: 1 to 32 of a-z 0-9 _ . -, the first of a-z 0-9 */
    const char *extensions; /* Separated by spaces, in lower case, without a dot; the first is the default. */
    const char *title;      /* E.g. "STEP AP203, AP214, AP242"; or NULL. */
    uint32_t flags;         /* CADMILL_FORMAT_* */
    uint32_t reserved;      /* 0 */
} cadmill_format;

typedef struct cadmill_option {
    uint64_t size;
    const char *name;    /* 1 to 64 of a-z 0-9 _ . -, the first of a-z 0-9 */
    const char *help;    /* One sentence. */
    const char *choices; /* Of CADMILL_OPTION_CHOICE, separated by spaces; else NULL. */
    const char *preset;  /* Default, as text; NULL if there is none. */
    uint32_t kind;       /* CADMILL_OPTION_* */
    uint32_t reserved;   /* 0 */
    double least, most;  /* Of a number; both 0 if it has no limits. */
} cadmill_option;

typedef struct cadmill_description {
    uint64_t size;
    const char *name;    /* Of the library behind it, e.g. "OpenCASCADE". */
    const char *version; /* Its version, e.g. "7.6.3". */
    const char *vendor;  /* Or NULL. */
    const char *licence; /* SPDX expression, or NULL. */
    const cadmill_format *const *inputs;  /* At most 256. */
    const cadmill_format *const *outputs; /* At most 256; in the order of preference. */
    const cadmill_option *const *options; /* At most 256; NULL: none. */
    /* Directories that it reads besides its libraries, or NULL. Advice for the operator: it is shown, and
       the process may read them only if the engines file lists them. */
    const char *const *data;
    uint64_t flags;      /* CADMILL_DETERMINISTIC etc. */
} cadmill_description;

/* ---- One conversion ------------------------------------------------------------------------------- */

typedef struct cadmill_request {
    uint64_t size;
    const char *input;       /* The file to read, in input_dir or below. */
    const char *input_dir;   /* All files of the order. */
    const char *output;      /* The file to write, in output_dir. Its name may have any extension, or none. */
    const char *output_dir;  /* Files that are written here are delivered with the output. */
    const char *scratch_dir; /* For temporary files: never delivered, destroyed after the conversion, and
                                counted with the output. It may be the current directory. */
    const char *input_format;  /* Id of the description; NULL: to be found by name and content. */
    const char *output_format; /* Id of the description. */
    const char *const *option_names;  /* option_count names: those that were given, each only once, */
    const char *const *option_values; /* and their values, which the host has checked. */
    uint64_t option_count;
    uint64_t flags;            /* CADMILL_REQUEST_* */
} cadmill_request;

typedef struct cadmill_plugin {
    uint64_t size;
    uint32_t abi;      /* CADMILL_ABI of the header that it was compiled with. */
    uint32_t reserved; /* 0 */
    /* [main] The same on each call, within 100 ms. Opens no file and asks for no licence. */
    const cadmill_description *(*describe)(void);
    /* [main] Or NULL. Called at most once, before the input is known: loads what takes time. The current
       directory is the scratch directory, which is empty. */
    int32_t (*prepare)(const cadmill_host *host);
    /* [main] Returns when the output is complete or the conversion failed. */
    int32_t (*convert)(const cadmill_request *request, const cadmill_host *host);
    /* [any] Or NULL. For libraries with a function of their own to stop. Called while convert() runs, once,
       and before cancelled() returns nonzero; it returns at once. */
    void (*cancel)(void);
    /* [any] Or NULL; returns NULL if the id is unknown. Version 1 knows none. */
    const void *(*extension)(const char *id);
} cadmill_plugin;

/* [main] The exported function. `host_abi` is the highest major version of the host. Returns NULL if the
   plugin cannot serve it; what it returns is valid until the process ends. May be called several times. */
CADMILL_EXPORT const cadmill_plugin *cadmill_plugin_entry_v1(uint32_t host_abi);

#ifdef __cplusplus
}
#endif
#endif /* CADMILL_PLUGIN_H */
