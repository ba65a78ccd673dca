import java.io.IOException;
import java.net.InetAddress;
import java.net.URL;
import java.net.UnknownHostException;
import java.security.Security;
import java.util.Arrays;
import java.util.stream.Collectors;

// As lookup.c: each NAME is looked up, from each HOST:PORT a page fetched.
public class Lookup {
    public static void main(String[] args) throws IOException {
        // The JVM's own cache would answer all but the first lookup.
        Security.setProperty("networkaddress.cache.ttl", "0");
        Security.setProperty("networkaddress.cache.negative.ttl", "0");
        for (String arg : args) {
            long began = System.nanoTime();
            String saw = arg.contains(":") ? fetch(arg) : find(arg);
            System.out.println(arg + " " + (System.nanoTime() - began) / 1000 + " " + saw);
        }
    }

    static String find(String name) {
        try {
            return Arrays.stream(InetAddress.getAllByName(name))
                .map(InetAddress::getHostAddress).collect(Collectors.joining(","));
        } catch (UnknownHostException e) {
            // NAME: what getaddrinfo says.
            return e.getMessage();
        }
    }

    static String fetch(String address) throws IOException {
        try (var body = new URL("http://" + address + "/").openStream()) {
            return new String(body.readAllBytes()).strip();
        }
    }
}
