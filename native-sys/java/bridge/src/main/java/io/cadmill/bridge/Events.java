package io.cadmill.bridge;

/** Where a job tells what it does. Called from any thread. */
interface Events {
    void progress(double fraction);

    void warn(String line);

    boolean cancelled();
}
