import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Set;

/** The test message number i of a prefix, the same in every language (see ../README.md). */
final class Spec {
    private Spec() {
    }

    static String tag(int i) {
        return "tag-" + i % 3;
    }

    static Set<String> keys(String prefix, int i) {
        return Set.of(prefix + "-" + i, "group-of-seven-" + i / 7);
    }

    static Map<String, String> properties(String prefix, int i) {
        return Map.of("prefix", prefix, "index", Integer.toString(i),
            "text", "Grüße von " + prefix + ", 世界 🌊 " + i);
    }

    static byte[] body(String prefix, int i) {
        int x = 0x811C9DC5;
        for (byte b : (prefix + "/" + i).getBytes(StandardCharsets.UTF_8)) {
            x = (x ^ (b & 0xFF)) * 16777619;
        }
        int limit = i % 8 == 0 ? 20480 : 1024;
        byte[] out = new byte[i % 100 == 1 ? 1 : 1 + Integer.remainderUnsigned(x, limit)];
        for (int k = 0; k < out.length; k++) {
            x = x * 1664525 + 1013904223;
            out[k] = (byte) (x >>> 24);
        }
        return out;
    }
}
