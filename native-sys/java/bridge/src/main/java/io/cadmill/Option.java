package io.cadmill;

/**
 * An option of a job. The same name may come more than once.
 *
 * @param name the name
 * @param value the value
 */
public record Option(String name, String value) {}
