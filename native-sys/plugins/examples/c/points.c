/* An example of a cadmill plugin in C: reads points as text, "x y z" on each line, and writes them as CSV
 * or as an OBJ file of vertices. SPDX-License-Identifier: 0BSD
 *
 *     cc -std=c99 -O2 -Wall -Wextra -shared -fPIC -fvisibility=hidden -I../../../include points.c -o libpoints.so
 */
#include "cadmill_plugin.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many lines are read between two looks at cancellation. */
#define OFTEN 1024

static const cadmill_format XYZ = {sizeof XYZ, "xyz", "xyz pts", "Points as text", CADMILL_FORMAT_TEXT, 0};
static const cadmill_format CSV = {sizeof CSV, "csv", "csv", "Comma-separated values", CADMILL_FORMAT_TEXT, 0};
static const cadmill_format OBJ = {sizeof OBJ, "obj", "obj", "Vertices of Wavefront OBJ", CADMILL_FORMAT_TEXT, 0};
static const cadmill_format *const INPUTS[] = {&XYZ, NULL};
static const cadmill_format *const OUTPUTS[] = {&CSV, &OBJ, NULL};

static const cadmill_option SCALE = {
    sizeof SCALE, "scale", "Factor for all coordinates.", NULL, "1", CADMILL_OPTION_NUMBER, 0, 1e-9, 1e9};
static const cadmill_option HEADER = {
    sizeof HEADER, "header", "Whether CSV begins with the names of its columns.", NULL, "yes", CADMILL_OPTION_YES_NO,
    0, 0, 0};
static const cadmill_option *const OPTIONS[] = {&SCALE, &HEADER, NULL};

static const cadmill_description DESCRIPTION = {
    sizeof DESCRIPTION, "points", "1.0", "cadmill", "0BSD", INPUTS, OUTPUTS, OPTIONS, NULL,
    CADMILL_DETERMINISTIC | CADMILL_ASKS_CANCELLED};

static const cadmill_description *describe(void) { return &DESCRIPTION; }

static const char *option(const cadmill_request *request, const char *name, const char *preset) {
    for (uint64_t i = 0; i < request->option_count; i++)
        if (strcmp(request->option_names[i], name) == 0) return request->option_values[i];
    return preset;
}

/* Fails with a reason and the status. */
static int32_t failed(const cadmill_host *host, int32_t status, const char *what, unsigned long line) {
    char reason[160];
    if (line > 0)
        snprintf(reason, sizeof reason, "line %lu: %s", line, what);
    else
        snprintf(reason, sizeof reason, "%s", what);
    host->fail(host->context, reason);
    return status;
}

static int32_t copy(FILE *in, FILE *out, const cadmill_request *request, const cadmill_host *host) {
    const int is_csv = strcmp(request->output_format, "csv") == 0;
    const double scale = strtod(option(request, "scale", "1"), NULL);
    char text[512], unit[24];
    unsigned long line = 0, points = 0;
    long size, position = 0;
    if (fseek(in, 0, SEEK_END) != 0 || (size = ftell(in)) < 0) return failed(host, CADMILL_FAILED, strerror(errno), 0);
    rewind(in);
    if (is_csv && strcmp(option(request, "header", "yes"), "yes") == 0) fputs("x,y,z\n", out);
    while (fgets(text, sizeof text, in) != NULL) {
        double at[3];
        char *end = text;
        line++;
        position += (long)strlen(text);
        if (ftell(in) != position) return failed(host, CADMILL_REJECTED, "it has a NUL", line);
        if (strchr(text, '\n') == NULL && !feof(in)) return failed(host, CADMILL_REJECTED, "it is too long", line);
        if (text[strspn(text, " \t\r\n")] == '\0' || text[0] == '#') continue;
        for (int i = 0; i < 3; i++) {
            char *begin = end;
            at[i] = scale * strtod(begin, &end);
            /* No point is left out in silence: what is not a point ends the conversion. */
            if (end == begin || !isfinite(at[i])) return failed(host, CADMILL_REJECTED, "expected three numbers", line);
        }
        if (end[strspn(end, " \t\r\n")] != '\0') return failed(host, CADMILL_REJECTED, "expected three numbers", line);
        fprintf(out, is_csv ? "%.17g,%.17g,%.17g\n" : "v %.17g %.17g %.17g\n", at[0], at[1], at[2]);
        points++;
        if (line % OFTEN == 0) {
            if (host->cancelled(host->context)) return CADMILL_CANCELLED;
            host->progress(host->context, CADMILL_STAGE_READ, size > 0 ? (double)ftell(in) / (double)size : 1);
        }
    }
    if (ferror(in)) return failed(host, CADMILL_REJECTED, "it cannot be read", 0);
    if (points == 0) return failed(host, CADMILL_REJECTED, "it has no points", 0);
    snprintf(unit, sizeof unit, "%lu", points);
    host->fact(host->context, "points", unit);
    return CADMILL_OK;
}

static int32_t convert(const cadmill_request *request, const cadmill_host *host) {
    FILE *in = fopen(request->input, "rb");
    FILE *out = in == NULL ? NULL : fopen(request->output, "wb");
    int32_t status;
    if (out == NULL) {
        status = failed(host, CADMILL_FAILED, strerror(errno), 0);
    } else {
        status = copy(in, out, request, host);
        /* A full disk shows when the last bytes are written. */
        if (fclose(out) != 0 && status == CADMILL_OK) status = failed(host, CADMILL_FAILED, strerror(errno), 0);
    }
    if (in != NULL) fclose(in);
    return status;
}

static const cadmill_plugin PLUGIN = {sizeof PLUGIN, CADMILL_ABI, 0, describe, NULL, convert, NULL, NULL};

CADMILL_EXPORT const cadmill_plugin *cadmill_plugin_entry_v1(uint32_t host_abi) {
    return host_abi >= CADMILL_ABI ? &PLUGIN : NULL;
}
