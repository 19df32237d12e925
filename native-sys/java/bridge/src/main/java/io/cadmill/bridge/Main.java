package io.cadmill.bridge;

import io.cadmill.Description;
import io.cadmill.Format;
import io.cadmill.Option;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Runs a converter by hand, without cadmill around it and without any confinement: to try a jar, and
 * to train an archive of its classes. Files that the input names are neither looked for in other
 * spellings nor copied.
 */
public final class Main {
    private static final String USAGE =
            """
            usage: java -cp cadmill-bridge.jar:YOUR.jar io.cadmill.bridge.Main describe
                   java -cp cadmill-bridge.jar:YOUR.jar io.cadmill.bridge.Main convert INPUT OUTPUT FORMAT [NAME=VALUE ...]
            With several converters on the class path, -Dcadmill.converter=CLASS names one.""";

    private Main() {}

    /**
     * See the usage.
     *
     * @param arguments the command and its arguments
     */
    public static void main(String[] arguments) {
        List<String> given = List.of(arguments);
        boolean describes = given.equals(List.of("describe"));
        boolean converts = given.size() >= 4 && given.get(0).equals("convert");
        if (!describes && !converts) {
            System.err.println(USAGE);
            System.exit(2);
        }
        try {
            Engine engine = Engine.open(Engine.find(System.getProperty("cadmill.converter", "")));
            if (describes) {
                print(engine.description());
            } else {
                engine.converter().convert(task(given));
            }
        } catch (Throwable thrown) {
            Answer answer = Answer.of(thrown);
            System.err.println(answer.kind() + ": " + answer.text());
            System.exit(1);
        }
    }

    private static Task task(List<String> given) {
        List<Option> options = new ArrayList<>();
        for (String option : given.subList(4, given.size())) {
            String[] parts = option.split("=", 2);
            options.add(new Option(parts[0], parts.length > 1 ? parts[1] : ""));
        }
        Path input = Path.of(given.get(1)).toAbsolutePath();
        Path output = Path.of(given.get(2)).toAbsolutePath();
        return new Task(
                input,
                input.getParent(),
                output,
                output.getParent(),
                given.get(3),
                List.copyOf(options),
                new ToTerminal(),
                new AtomicLong());
    }

    private static void print(Description description) {
        System.out.println(description.library() + " " + description.version());
        System.out.println("reads " + String.join(" ", description.inputs()));
        for (Format format : description.outputs()) {
            System.out.println("writes " + format.id() + " ." + format.extension());
        }
    }

    private static final class ToTerminal implements Events {
        @Override
        public void progress(double fraction) {}

        @Override
        public void warn(String line) {
            System.err.println("warning: " + line);
        }

        @Override
        public boolean cancelled() {
            return false;
        }
    }
}
