/* driver.c - runs a plugin without cadmill: for its author, and for the checks of the plugins here.
 *
 *   cc -std=c99 -o driver driver.c -ldl -lpthread
 *   driver PLUGIN.so                                         its description, a line of JSON for each item
 *   driver [-c MS] [-p FRACTION] [-j THREADS] [-n RUNS] [-q] PLUGIN.so INPUT OUTPUT FORMAT [NAME=VALUE...]
 *
 * INPUT and OUTPUT are absolute paths. -c cancels after so many milliseconds, -p when the progress is so far, -n converts
 * several times in the process, -q leaves the log out. The exit code is the status of the last conversion, or 64 for a misuse.
 * `silence` in the result is the longest time between two calls of cancelled(), `work` the time from the first progress
 * of the stage of that name to the first of writing.
 *
 * There is no confinement here, and no check of the options: that is `cadmill engines check`.
 */
#define _DEFAULT_SOURCE
#include "../include/cadmill_plugin.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    double last, cancelled_at, asked, silence; /* Longest time between two calls of cancelled(). */
    double cancel_from; /* Progress at which it is cancelled; 0: never. */
    double begun[4];    /* When the stages reported first. */
    uint64_t asks, steps, backwards;
    int32_t cancel; /* Read and written atomically. */
    int quiet;
} run = {PTHREAD_MUTEX_INITIALIZER, 0, 0, 0, 0, 0, {0, 0, 0, 0}, 0, 0, 0, 0, 0};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void json(const char *text) {
    if (!text) {
        fputs("null", stdout);
        return;
    }
    putchar('"');
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') printf("\\%c", c);
        else if (c < 0x20) printf("\\u%04x", c);
        else putchar(c);
    }
    putchar('"');
}

static void member(const char *name, const char *text) {
    printf(", \"%s\": ", name);
    json(text);
}

static void describe_formats(const char *kind, const cadmill_format *const *formats) {
    for (; formats && *formats; formats++) {
        printf("{\"item\": \"%s\"", kind);
        member("id", (*formats)->id);
        member("extensions", (*formats)->extensions);
        member("title", (*formats)->title);
        printf(", \"flags\": %u}\n", (unsigned)(*formats)->flags);
    }
}

static void describe(const cadmill_description *d) {
    static const char *const kinds[] = {"?", "yes-no", "integer", "number", "choice", "text"};
    const cadmill_option *const *o;
    printf("{\"item\": \"library\"");
    member("name", d->name);
    member("version", d->version);
    member("vendor", d->vendor);
    member("licence", d->licence);
    printf(", \"flags\": %llu}\n", (unsigned long long)d->flags);
    describe_formats("input", d->inputs);
    describe_formats("output", d->outputs);
    for (o = d->options; o && *o; o++) {
        printf("{\"item\": \"option\"");
        member("name", (*o)->name);
        member("kind", kinds[(*o)->kind < 6 ? (*o)->kind : 0]);
        member("choices", (*o)->choices);
        member("preset", (*o)->preset);
        printf(", \"least\": %g, \"most\": %g", (*o)->least, (*o)->most);
        member("help", (*o)->help);
        printf("}\n");
    }
}

static void on_progress(void *context, uint32_t stage, double fraction) {
    (void)context;
    pthread_mutex_lock(&run.lock);
    run.steps++;
    if (stage < 4 && run.begun[stage] == 0) run.begun[stage] = now();
    if (fraction < run.last || fraction > 1) run.backwards++;
    run.last = fraction;
    if (run.cancel_from > 0 && fraction >= run.cancel_from && run.cancelled_at == 0) {
        run.cancelled_at = now();
        __atomic_store_n(&run.cancel, 1, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&run.lock);
}

static void on_log(void *context, uint32_t level, const char *line) {
    static const char *const levels[] = {"?", "loss", "warning", "debug"};
    (void)context;
    if (run.quiet) return;
    pthread_mutex_lock(&run.lock);
    printf("{\"item\": \"%s\"", levels[level < 4 ? level : 0]);
    member("text", line);
    printf("}\n");
    pthread_mutex_unlock(&run.lock);
}

static void note_ask(void) {
    const double t = now();
    pthread_mutex_lock(&run.lock);
    run.asks++;
    if (t - run.asked > run.silence) run.silence = t - run.asked;
    run.asked = t;
    pthread_mutex_unlock(&run.lock);
}

static int32_t on_cancelled(void *context) {
    (void)context;
    note_ask();
    return __atomic_load_n(&run.cancel, __ATOMIC_RELAXED);
}

static void on_fail(void *context, const char *reason) {
    (void)context;
    printf("{\"item\": \"reason\"");
    member("text", reason);
    printf("}\n");
}

static void on_fact(void *context, const char *name, const char *value) {
    (void)context;
    printf("{\"item\": \"fact\"");
    member("name", name);
    member("value", value);
    printf("}\n");
}

static const void *no_extension(void *context, const char *id) {
    (void)context, (void)id;
    return NULL;
}

static void *canceller(void *milliseconds) {
    usleep((useconds_t)(*(long *)milliseconds * 1000));
    run.cancelled_at = now();
    __atomic_store_n(&run.cancel, 1, __ATOMIC_RELAXED);
    return NULL;
}

static char *directory_of(const char *path) {
    char *copy = strdup(path), *slash = copy ? strrchr(copy, '/') : NULL;
    if (!slash) {
        fprintf(stderr, "not an absolute path: %s\n", path);
        exit(64);
    }
    slash[slash == copy] = 0;
    return copy;
}

static int32_t convert(const cadmill_plugin *plugin, const cadmill_host *host, char **arguments, int count) {
    static const char *const statuses[] = {"ok", "rejected", "bad-option", "no-memory", "cancelled",
                                           "unusable", "failed", "unfit", "text-lost"};
    char scratch[] = "/tmp/driver-XXXXXX";
    const char *names[64], *values[64];
    cadmill_request request = {0};
    struct rusage usage;
    double start;
    int32_t status;
    int i;
    if (!mkdtemp(scratch)) return CADMILL_FAILED;
    request.size = sizeof(request);
    request.input = arguments[0];
    request.input_dir = directory_of(arguments[0]);
    request.output = arguments[1];
    request.output_dir = directory_of(arguments[1]);
    request.scratch_dir = scratch;
    request.output_format = arguments[2];
    request.option_names = names;
    request.option_values = values;
    for (i = 3; i < count && request.option_count < 64; i++) {
        char *name = strdup(arguments[i]), *equals = name ? strchr(name, '=') : NULL;
        if (!equals) return CADMILL_BAD_OPTION;
        *equals = 0;
        names[request.option_count] = name;
        values[request.option_count++] = equals + 1;
    }
    run.last = run.silence = 0;
    memset(run.begun, 0, sizeof(run.begun));
    start = run.asked = now();
    status = plugin->convert(&request, host);
    note_ask();
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"item\": \"result\", \"status\": \"%s\", \"seconds\": %.3f, \"cpu\": %.3f, \"peak_mib\": %ld, \"asks\": %llu, "
           "\"silence\": %.3f, \"progress\": %.3f, \"steps\": %llu, \"backwards\": %llu, \"scratch_left\": %s",
           status >= 0 && status < 9 ? statuses[status] : "unknown", now() - start,
           (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6, usage.ru_maxrss / 1024,
           (unsigned long long)run.asks, run.silence, run.last, (unsigned long long)run.steps, (unsigned long long)run.backwards,
           rmdir(scratch) == 0 ? "false" : "true");
    if (run.begun[2] > 0 && run.begun[3] > 0) printf(", \"work\": %.3f", run.begun[3] - run.begun[2]);
    if (run.cancelled_at > 0) printf(", \"after_cancel\": %.3f", now() - run.cancelled_at);
    printf("}\n");
    return status;
}

int main(int argc, char **argv) {
    cadmill_host host = {sizeof(host), CADMILL_ABI, 1, 0, NULL, on_progress, on_log, on_cancelled, on_fail, on_fact, no_extension};
    const cadmill_plugin *(*entry)(uint32_t) = NULL;
    const cadmill_plugin *plugin;
    pthread_t thread;
    void *library;
    long cancel_after = -1;
    int option, runs = 1, count;
    int32_t status = CADMILL_OK;
    while ((option = getopt(argc, argv, "+c:j:n:p:q")) != -1) {
        if (option == 'c') cancel_after = atol(optarg);
        else if (option == 'j') host.max_threads = (uint32_t)atoi(optarg);
        else if (option == 'p') run.cancel_from = atof(optarg);
        else if (option == 'n') runs = atoi(optarg);
        else if (option == 'q') run.quiet = 1;
        else return 64;
    }
    count = argc - optind - 1;
    if (count != 0 && count < 3) {
        fprintf(stderr, "usage: driver [-c MS] [-p FRACTION] [-j THREADS] [-n RUNS] [-q] PLUGIN.so [INPUT OUTPUT FORMAT [NAME=VALUE...]]\n");
        return 64;
    }
    library = dlopen(argv[optind], RTLD_NOW | RTLD_LOCAL);
    if (library) *(void **)&entry = dlsym(library, "cadmill_plugin_entry_v1");
    plugin = entry ? entry(CADMILL_ABI) : NULL;
    if (!plugin || !CADMILL_HAS(cadmill_plugin, plugin, convert)) {
        fprintf(stderr, "not a plugin: %s\n", library ? argv[optind] : dlerror());
        return 64;
    }
    if (count == 0) {
        describe(plugin->describe());
        return 0;
    }
    if (plugin->prepare && (status = plugin->prepare(&host)) != CADMILL_OK) return status;
    if (cancel_after >= 0 && pthread_create(&thread, NULL, canceller, &cancel_after) == 0) pthread_detach(thread);
    while (runs-- > 0) status = convert(plugin, &host, argv + optind + 1, count);
    return status;
}
