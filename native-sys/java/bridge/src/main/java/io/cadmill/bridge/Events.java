package io.cadmill.bridge;

/** Where a job tells what it does. Called from any thread. */
interface Events {
    void progress(double fraction);

    void warn(String line);

    boolean cancelled();

    /** See {@link io.cadmill.Job#find}; the path is relative, in UTF-8, or null. */
    default byte[] locate(byte[] name) {
        return null;
    }

    /** See {@link io.cadmill.Job#expect}; the path is as above. */
    default byte[] expect(byte[] name) {
        return null;
    }

    /** See {@link io.cadmill.Job#takeAlong}; why it failed, or null. */
    default byte[] takeAlong(byte[] name) {
        return null;
    }
}
