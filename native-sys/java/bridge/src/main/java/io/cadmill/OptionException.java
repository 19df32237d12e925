package io.cadmill;

/** An option or the format is unknown, or a value is malformed; the message says what there is. */
public class OptionException extends ConversionException {
    private static final long serialVersionUID = 1L;

    /** @param message one sentence for the owner of the job */
    public OptionException(String message) {
        super(message);
    }

    /**
     * @param message one sentence for the owner of the job
     * @param cause what it came from
     */
    public OptionException(String message, Throwable cause) {
        super(message, cause);
    }
}
