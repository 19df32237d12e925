package io.cadmill.bridge;

import io.cadmill.ConversionException;
import io.cadmill.Converter;
import io.cadmill.Description;
import java.util.ArrayList;
import java.util.List;
import java.util.ServiceLoader;

/** The one converter of the class path. */
record Engine(Converter converter, Description description) {

    /**
     * Finds it. Its class is loaded and not initialised: nothing of it has run when this returns.
     *
     * @param wanted its class, or an empty text when the class path has only one
     * @throws UnsatisfiedLinkError when there is none, or the choice is open
     */
    static ServiceLoader.Provider<Converter> find(String wanted) {
        List<ServiceLoader.Provider<Converter>> found = new ArrayList<>();
        ServiceLoader.load(Converter.class, ClassLoader.getSystemClassLoader()).stream()
                .filter(provider -> wanted.isEmpty() || provider.type().getName().equals(wanted))
                .forEach(found::add);
        if (found.size() != 1) {
            throw new UnsatisfiedLinkError(complaint(wanted, found));
        }
        return found.get(0);
    }

    /** Makes it and asks what it is. */
    static Engine open(ServiceLoader.Provider<Converter> provider) throws ConversionException {
        Converter converter = provider.get();
        return new Engine(converter, converter.describe());
    }

    private static String complaint(String wanted, List<ServiceLoader.Provider<Converter>> found) {
        if (found.isEmpty()) {
            String what = wanted.isEmpty() ? "no converter" : "no converter " + wanted;
            return what + " is on the class path: a jar names its own in META-INF/services/io.cadmill.Converter";
        }
        List<String> names = found.stream().map(provider -> provider.type().getName()).sorted().toList();
        return "the class path has several converters, name one with `converter`: " + String.join(", ", names);
    }
}
