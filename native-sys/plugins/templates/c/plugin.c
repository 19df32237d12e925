/* @NAME@: a plugin of cadmill to begin with. SPDX-License-Identifier: 0BSD
 *
 * It reads points as text, "x y z" and perhaps a label on each line, and writes them as vertices of a Wavefront OBJ
 * file, which has no labels. What is marked VENDOR is to be replaced by calls of your library.
 */
#define _POSIX_C_SOURCE 200809L
#include "cadmill_plugin.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many points are handled between two looks at cancellation. Look at least every 2 s. */
#define OFTEN 4096

/* ---- VENDOR: the formats and options that you have. Constant, and made without opening a file. ---- */

static const cadmill_format XYZ = {sizeof XYZ, "xyz", "xyz", "Points as text", CADMILL_FORMAT_TEXT, 0};
static const cadmill_format OBJ = {sizeof OBJ, "obj", "obj", "Wavefront OBJ", CADMILL_FORMAT_TEXT, 0};
static const cadmill_format *const INPUTS[] = {&XYZ, NULL};
static const cadmill_format *const OUTPUTS[] = {&OBJ, NULL};
static const cadmill_option SCALE = {
    sizeof SCALE, "scale", "Factor for all coordinates.", NULL, "1", CADMILL_OPTION_NUMBER, 0, 1e-9, 1e9};
static const cadmill_option *const OPTIONS[] = {&SCALE, NULL};
static const cadmill_description DESCRIPTION = {
    sizeof DESCRIPTION, "@NAME@", "0.1.0", NULL, NULL, INPUTS, OUTPUTS, OPTIONS, NULL,
    CADMILL_DETERMINISTIC | CADMILL_ASKS_CANCELLED};

static const cadmill_description *describe(void) { return &DESCRIPTION; }

/* ---- Helpers ------------------------------------------------------------------------------------- */

/* The value of an option. The host has checked it against the description. */
static const char *option(const cadmill_request *request, const char *name, const char *preset) {
    for (uint64_t i = 0; i < request->option_count; i++)
        if (strcmp(request->option_names[i], name) == 0) return request->option_values[i];
    return preset;
}

/* Says why the conversion fails, and returns the status. */
static int32_t fail(const cadmill_host *host, int32_t status, const char *format, ...) {
    char reason[512];
    va_list values;
    va_start(values, format);
    vsnprintf(reason, sizeof reason, format, values);
    va_end(values);
    host->fail(host->context, reason);
    return status;
}

/* Reports progress; nonzero if the conversion is to end. */
static int32_t stopped(const cadmill_host *host, uint32_t stage, double fraction) {
    host->progress(host->context, stage, fraction);
    return host->cancelled(host->context);
}

/* ---- VENDOR: your document, and the calls that read and write it --------------------------------- */

struct document {
    double (*points)[3];
    size_t count, room;
    unsigned long labels;
};

/* A line with its number: nothing is left out in silence, what is not understood ends the conversion. */
static int32_t add_line(struct document *document, const char *text, unsigned long line, const cadmill_host *host) {
    char *end = (char *)text;
    if (text[strspn(text, " \t\r\n")] == '\0' || text[0] == '#') return CADMILL_OK;
    if (document->count == document->room) {
        const size_t room = document->room * 2 + 1024;
        double(*points)[3] = realloc(document->points, room * sizeof *points);
        if (points == NULL) return fail(host, CADMILL_NO_MEMORY, "no memory for %zu points", room);
        document->points = points, document->room = room;
    }
    for (int i = 0; i < 3; i++) {
        const char *begin = end;
        const double number = strtod(begin, &end);
        if (end == begin || !isfinite(number))
            return fail(host, CADMILL_REJECTED, "line %lu: expected three numbers", line);
        document->points[document->count][i] = number;
    }
    document->count++;
    document->labels += end[strspn(end, " \t\r\n")] != '\0';
    return CADMILL_OK;
}

static int32_t read_document(struct document *document, FILE *in, const cadmill_host *host) {
    char *text = NULL;
    size_t room = 0;
    int32_t status = CADMILL_OK;
    unsigned long line = 0;
    ssize_t length;
    while (status == CADMILL_OK && (length = getline(&text, &room, in)) >= 0) {
        if (strlen(text) != (size_t)length) status = fail(host, CADMILL_REJECTED, "line %lu has a NUL", line + 1);
        else status = add_line(document, text, ++line, host);
        /* How much is left is not known here: if your library knows, say so. */
        if (line % OFTEN == 0 && stopped(host, CADMILL_STAGE_READ, 0.1)) status = CADMILL_CANCELLED;
    }
    free(text);
    if (status == CADMILL_OK && ferror(in)) return fail(host, CADMILL_REJECTED, "it cannot be read");
    if (status == CADMILL_OK && document->count == 0) return fail(host, CADMILL_REJECTED, "it has no points");
    return status;
}

static int32_t write_document(const struct document *document, FILE *out, double scale, const cadmill_host *host) {
    for (size_t i = 0; i < document->count; i++) {
        const double *at = document->points[i], x = scale * at[0], y = scale * at[1], z = scale * at[2];
        if (!isfinite(x + y + z)) return fail(host, CADMILL_UNFIT, "point %zu is too large for the scale", i + 1);
        fprintf(out, "v %.17g %.17g %.17g\n", x, y, z);
        if (i % OFTEN == 0 && stopped(host, CADMILL_STAGE_WRITE, 0.5 + 0.5 * (double)i / (double)document->count))
            return CADMILL_CANCELLED;
    }
    return CADMILL_OK;
}

/* ---- The conversion ------------------------------------------------------------------------------ */

static int32_t convert(const cadmill_request *request, const cadmill_host *host) {
    struct document document = {NULL, 0, 0, 0};
    FILE *in = fopen(request->input, "rb"), *out = NULL;
    int32_t status = in != NULL ? read_document(&document, in, host) : fail(host, CADMILL_FAILED, "%s", strerror(errno));
    if (status == CADMILL_OK && (out = fopen(request->output, "wb")) == NULL)
        status = fail(host, CADMILL_FAILED, "%s", strerror(errno));
    if (out != NULL) {
        char text[80];
        status = write_document(&document, out, strtod(option(request, "scale", "1"), NULL), host);
        /* A full disk may show only when the last bytes are written. */
        if ((ferror(out) | fclose(out)) != 0 && status == CADMILL_OK)
            status = fail(host, CADMILL_FAILED, "the output cannot be written");
        /* What the result lacks is counted, and refused if the owner wants everything. */
        snprintf(text, sizeof text, "labels left out, which OBJ does not have: %lu", document.labels);
        if (document.labels > 0) host->log(host->context, CADMILL_LOG_LOSS, text);
        snprintf(text, sizeof text, "%zu", document.count);
        host->fact(host->context, "points", text);
    }
    if (in != NULL) fclose(in);
    free(document.points);
    return status;
}

static const cadmill_plugin PLUGIN = {sizeof PLUGIN, CADMILL_ABI, 0, describe, NULL, convert, NULL, NULL};

CADMILL_EXPORT const cadmill_plugin *cadmill_plugin_entry_v1(uint32_t host_abi) {
    return host_abi >= CADMILL_ABI ? &PLUGIN : NULL;
}
