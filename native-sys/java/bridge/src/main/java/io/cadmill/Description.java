package io.cadmill;

import java.util.List;

/**
 * What a converter is and can do.
 *
 * @param library the name of the library that does the work, e.g. {@code Assimp}
 * @param version its version, e.g. {@code 5.4.3}
 * @param inputs extensions of the files that it reads, lower case, without a dot
 * @param outputs formats that it writes, the preferred one of an extension first
 */
public record Description(String library, String version, List<String> inputs, List<Format> outputs) {
    /** Keeps copies of the lists. */
    public Description {
        inputs = List.copyOf(inputs);
        outputs = List.copyOf(outputs);
    }
}
