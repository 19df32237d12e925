import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/** Lists archives as java.util.zip.ZipFile reads them: reads paths, prints names and digests. */
public final class Oracle {
    public static void main(String[] args) throws Exception {
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        var out = new java.io.PrintStream(System.out, true, StandardCharsets.UTF_8);
        String path;
        while ((path = in.readLine()) != null) {
            // Path and charset are separated by a tab; each reply ends with an empty line.
            var fields = path.split("\t");
            var listing = new StringBuilder();
            try (var zip = new ZipFile(new java.io.File(fields[0]), Charset.forName(fields[1]))) {
                for (var entries = zip.entries(); entries.hasMoreElements();) {
                    ZipEntry entry = entries.nextElement();
                    byte[] content = zip.getInputStream(entry).readAllBytes();
                    byte[] digest = MessageDigest.getInstance("SHA-256").digest(content);
                    byte[] name = entry.getName().getBytes(StandardCharsets.UTF_8);
                    listing.append(HexFormat.of().formatHex(digest)).append(' ').append(HexFormat.of().formatHex(name)).append('\n');
                }
            } catch (Exception e) {
                listing = new StringBuilder("error " + e.toString().replace('\n', ' ') + "\n");
            }
            out.print(listing + "\n");
            out.flush();
        }
    }
}
