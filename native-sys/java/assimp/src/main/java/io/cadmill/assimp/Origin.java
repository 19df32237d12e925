package io.cadmill.assimp;

import io.cadmill.ConversionException;
import io.cadmill.Job;
import io.cadmill.OptionException;
import io.cadmill.UnfitException;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Moves the coordinates of a model before Assimp reads them, which it does in single precision. The
 * same as {@code origin.rs} of cadmill's own binding, with the same limits.
 *
 * @param at what becomes zero; null is the first vertex, in whole units
 */
record Origin(List<BigDecimal> at) {
    private static final BigDecimal MAX_ORIGIN = new BigDecimal(100_000_000);
    private static final int MAX_ORIGIN_SCALE = 6;

    /** Digits of a number in a file, and its decimals. */
    private static final int MAX_DIGITS = 30;

    /** Whole units below which {@code auto} leaves a coordinate as it is: heights stay. */
    private static final BigDecimal SMALL = new BigDecimal(1000);

    private static final Pattern NUMBER =
            Pattern.compile("[+-]?(?=[0-9.]*[0-9])([0-9]*)(?:\\.([0-9]*))?(?:[eE]([+-]?[0-9]+))?");

    /** A file whose coordinates were moved. */
    record Moved(Path file, List<BigDecimal> origin) {
        /** By how much, as texts say it. */
        String by() {
            return String.join(" ", origin.stream().map(number -> number.negate().toPlainString()).toList());
        }
    }

    static Origin parse(String value) throws OptionException {
        if (value.equals("auto")) {
            return new Origin(null);
        }
        List<BigDecimal> numbers = new ArrayList<>();
        for (String part : value.split(",", -1)) {
            BigDecimal number = decimal(part.strip());
            boolean fits = number != null
                    && number.scale() <= MAX_ORIGIN_SCALE
                    && number.abs().compareTo(MAX_ORIGIN) <= 0;
            if (fits) {
                numbers.add(number);
            }
        }
        if (numbers.size() != 3 || value.split(",", -1).length != 3) {
            throw new OptionException("option 'origin': write auto, or three numbers with commas, of at most "
                    + MAX_ORIGIN + " and " + MAX_ORIGIN_SCALE + " decimals, not '" + value + "'");
        }
        return new Origin(List.copyOf(numbers));
    }

    /** Whether coordinates of this file can be moved. */
    static boolean appliesTo(Path input) {
        return input.getFileName().toString().toLowerCase(Locale.ROOT).endsWith(".obj");
    }

    /** What can be done about coordinates that lose details. */
    static String advice(Path input, Origin origin) {
        if (!appliesTo(input)) {
            return "move the model near the origin before";
        }
        return origin == null ? "`--opt origin=auto` moves the model near the origin" : "choose another `origin`";
    }

    /** Writes the moved file into the scratch directory. */
    Moved move(Job job) throws ConversionException, IOException {
        Path file = Files.createTempFile("moved", ".obj");
        List<BigDecimal> origin = at;
        boolean found = false;
        long number = 0;
        try (InputStream in = new BufferedInputStream(Files.newInputStream(job.input()), 1 << 18);
                OutputStream out = new BufferedOutputStream(Files.newOutputStream(file), 1 << 18)) {
            ByteArrayOutputStream line = new ByteArrayOutputStream();
            for (int next = in.read(); ; next = in.read()) {
                if (next >= 0) {
                    line.write(next);
                }
                if (next >= 0 && next != '\n' && next != '\r') {
                    continue;
                }
                String text = line.toString(StandardCharsets.ISO_8859_1);
                line.reset();
                number += text.startsWith("\n") ? 0 : 1;
                String vertex = vertexOf(text);
                if (vertex != null) {
                    List<BigDecimal> place = place(vertex);
                    if (place == null) {
                        throw new UnfitException("option 'origin': line " + number
                                + " has a vertex that is not three decimal numbers");
                    }
                    if (origin == null) {
                        origin = place.stream().map(Origin::wholeIfLarge).toList();
                    }
                    found = true;
                    text = moved(place, origin) + rest(vertex);
                    job.checkCancelled();
                }
                out.write(text.getBytes(StandardCharsets.ISO_8859_1));
                if (next < 0) {
                    break;
                }
            }
        }
        if (!found) {
            throw new UnfitException("option 'origin': the file has no vertices in lines of OBJ");
        }
        return new Moved(file, origin);
    }

    /** What follows the {@code v} of a line with a vertex, or null. */
    private static String vertexOf(String line) {
        int start = 0;
        while (start < line.length() && (line.charAt(start) == ' ' || line.charAt(start) == '\t')) {
            start++;
        }
        boolean isVertex = line.startsWith("v ", start) || line.startsWith("v\t", start);
        return isVertex ? line.substring(start + 1) : null;
    }

    private static final Pattern THREE = Pattern.compile("[ \t]*([^ \t\n\f\r]+)".repeat(3));

    /** The coordinates, or null. */
    private static List<BigDecimal> place(String vertex) {
        Matcher three = THREE.matcher(vertex);
        if (!three.lookingAt() || vertex.contains("\\")) {
            return null;
        }
        List<BigDecimal> place = new ArrayList<>();
        for (int axis = 1; axis <= 3; axis++) {
            BigDecimal number = decimal(three.group(axis));
            if (number == null) {
                return null;
            }
            place.add(number);
        }
        String[] others = vertex.substring(three.end()).strip().split("[ \t\n\f\r]+");
        // A weight divides the coordinates.
        if (others.length == 1 && !others[0].isEmpty()) {
            BigDecimal weight = decimal(others[0]);
            if (weight == null || weight.compareTo(BigDecimal.ONE) != 0) {
                return null;
            }
        }
        return place;
    }

    private static String rest(String vertex) {
        Matcher three = THREE.matcher(vertex);
        return three.lookingAt() ? vertex.substring(three.end()) : "";
    }

    private static String moved(List<BigDecimal> place, List<BigDecimal> origin) {
        StringBuilder line = new StringBuilder("v");
        for (int axis = 0; axis < 3; axis++) {
            line.append(' ').append(place.get(axis).subtract(origin.get(axis)).toPlainString());
        }
        return line.toString();
    }

    /** The whole units below a number; zero if they are few, or too many for an origin. */
    private static BigDecimal wholeIfLarge(BigDecimal number) {
        BigDecimal whole = number.setScale(0, RoundingMode.FLOOR);
        boolean isMoved = whole.abs().compareTo(SMALL) >= 0 && whole.abs().compareTo(MAX_ORIGIN) <= 0;
        return isMoved ? whole : BigDecimal.ZERO;
    }

    /** A number with or without decimals and an exponent, or null. */
    private static BigDecimal decimal(String text) {
        Matcher number = NUMBER.matcher(text);
        if (!number.matches()) {
            return null;
        }
        int decimals = number.group(2) == null ? 0 : number.group(2).length();
        String exponent = number.group(3);
        if (exponent != null && exponent.length() > 4) {
            return null;
        }
        int scale = decimals - (exponent == null ? 0 : Integer.parseInt(exponent));
        int digits = number.group(1).length() + decimals;
        if (digits > MAX_DIGITS || scale > MAX_DIGITS || digits - Math.min(scale, 0) > MAX_DIGITS) {
            return null;
        }
        BigDecimal value = new BigDecimal(text);
        return value.scale() < 0 ? value.setScale(0) : value;
    }
}
