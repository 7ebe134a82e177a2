import java.io.Closeable;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.LocalTime;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.SendReceipt;

/** Official Java client (rocketmq-client-java): send, receive (simple) and push. See ../README.md. */
public final class Main {
    private static final int RECEIVERS = 4;
    private static final Duration AWAIT = Duration.ofSeconds(5);
    private static final Duration INVISIBLE = Duration.ofSeconds(15);
    private static final double SEND_RETRY_S = 60;

    private static final ClientServiceProvider CLIENTS = ClientServiceProvider.loadService();
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    private final Map<String, String> args;
    private final ClientConfiguration configuration;
    private boolean complete;

    private Main(Map<String, String> args) {
        this.args = args;
        this.configuration = ClientConfiguration.newBuilder()
            .setEndpoints(args.get("endpoint"))
            .enableSsl(args.containsKey("tls"))
            .build();
    }

    private String text(String name) {
        return args.getOrDefault(name, "");
    }

    private double number(String name, double otherwise) {
        return args.containsKey(name) ? Double.parseDouble(args.get(name)) : otherwise;
    }

    private Map<String, FilterExpression> subscription() {
        return Map.of(text("topic"), FilterExpression.SUB_ALL);
    }

    private static void emit(String format, Object... values) {
        OUT.println("{" + String.format(format, values) + "}");
    }

    private static void note(String format, Object... values) {
        String clock = LocalTime.now().truncatedTo(ChronoUnit.SECONDS).toString();
        System.err.println(clock + " java: " + String.format(format, values));
    }

    private static double now() {
        return System.nanoTime() / 1e9;
    }

    private static void pause(double seconds) throws InterruptedException {
        if (seconds > 0) {
            Thread.sleep(Math.round(1000 * seconds));
        }
    }

    private record Tried<T>(T result, int tries) {
    }

    /** Runs action until it succeeds. Throws the last error after giveUp seconds. */
    private static <T> Tried<T> retry(String what, double giveUp, Callable<T> action)
        throws Exception {
        double end = now() + giveUp;
        for (int tries = 1; ; tries++) {
            try {
                return new Tried<>(action.call(), tries);
            } catch (Exception error) {
                note("%s failed, try %d: %s, because of %s", what, tries, error, error.getCause());
                if (now() > end) {
                    throw error;
                }
                pause(0.5);
            }
        }
    }

    private Message message(int i) {
        String prefix = text("prefix");
        MessageBuilder builder = CLIENTS.newMessageBuilder()
            .setTopic(text("topic"))
            .setTag(Spec.tag(i))
            .setKeys(Spec.keys(prefix, i).toArray(new String[0]))
            .setBody(Spec.body(prefix, i));
        Spec.properties(prefix, i).forEach(builder::addProperty);
        return builder.build();
    }

    private Closeable send() throws Exception {
        Producer producer = retry("startup", SEND_RETRY_S, () -> CLIENTS.newProducerBuilder()
            .setClientConfiguration(configuration).setTopics(text("topic")).build()).result();
        double begin = now();
        double rate = number("rate", 0);
        int count = (int) number("count", 0);
        for (int i = 0; i < count; i++) {
            if (rate > 0) {
                pause(begin + i / rate - now());
            }
            Message message = message(i);
            double clock = now();
            Tried<SendReceipt> sent =
                retry("send " + i, SEND_RETRY_S, () -> producer.send(message));
            emit("\"i\":%d,\"id\":\"%s\",\"ms\":%.3f,\"tries\":%d", i,
                sent.result().getMessageId(), 1000 * (now() - clock), sent.tries());
        }
        note("sent %d in %.1f s", count, now() - begin);
        complete = true;
        return producer;
    }

    /** Checks and prints every delivery, and knows when the expected ones were seen. */
    private final class Tally {
        private final Set<String> seen = new HashSet<>();
        private double last = now();
        private final double end = last + number("timeout", 60);

        void delivered(MessageView view) {
            Map<String, String> properties = view.getProperties();
            String prefix = properties.getOrDefault("prefix", "");
            int i = Integer.parseInt(properties.getOrDefault("index", "-1"));
            Map<String, Boolean> checks = new HashMap<>();
            checks.put("tag", Spec.tag(i).equals(view.getTag().orElse(null)));
            checks.put("keys", Spec.keys(prefix, i).equals(new HashSet<>(view.getKeys())));
            checks.put("properties", Spec.properties(prefix, i).equals(properties));
            checks.put("body", ByteBuffer.wrap(Spec.body(prefix, i)).equals(view.getBody()));
            List<String> wrong = new ArrayList<>();
            checks.forEach((name, same) -> {
                if (!same) {
                    wrong.add('"' + name + '"');
                }
            });
            synchronized (this) {
                emit("\"i\":%d,\"prefix\":\"%s\",\"id\":\"%s\",\"attempt\":%d,\"ok\":%b,\"wrong\":%s",
                    i, prefix, view.getMessageId(), view.getDeliveryAttempt(), wrong.isEmpty(), wrong);
                seen.add(prefix + "/" + i);
                last = now();
            }
        }

        synchronized boolean complete() {
            return seen.size() >= number("expect", 0);
        }

        synchronized boolean over() {
            return now() > end || complete() && now() > last + number("quiet", 2);
        }

        void await() throws InterruptedException {
            while (!over()) {
                pause(0.05);
            }
            note("saw %d of %.0f", seen.size(), number("expect", 0));
            complete = complete();
        }
    }

    private Closeable receive() throws Exception {
        Tally tally = new Tally();
        SimpleConsumer consumer = retry("startup", number("timeout", 60),
            () -> CLIENTS.newSimpleConsumerBuilder()
                .setClientConfiguration(configuration)
                .setConsumerGroup(text("group"))
                .setAwaitDuration(AWAIT)
                .setSubscriptionExpressions(subscription())
                .build()).result();
        Runnable loop = () -> {
            while (!tally.over()) {
                try {
                    for (MessageView view : consumer.receive(32, INVISIBLE)) {
                        tally.delivered(view);
                        consumer.ack(view);
                    }
                } catch (Throwable error) {
                    note("receive: %s", error);
                }
            }
        };
        for (int k = 0; k < RECEIVERS; k++) {
            daemon(loop);
        }
        tally.await();
        return consumer;
    }

    private Closeable push() throws Exception {
        Tally tally = new Tally();
        Closeable consumer = retry("startup", number("timeout", 60),
            () -> CLIENTS.newPushConsumerBuilder()
                .setClientConfiguration(configuration)
                .setConsumerGroup(text("group"))
                .setSubscriptionExpressions(subscription())
                .setMessageListener(view -> {
                    tally.delivered(view);
                    return ConsumeResult.SUCCESS;
                })
                .build()).result();
        tally.await();
        return consumer;
    }

    private static Thread daemon(Runnable action) {
        Thread thread = new Thread(action);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private int run(String mode) throws Exception {
        Closeable client = switch (mode) {
            case "send" -> send();
            case "receive" -> receive();
            case "push" -> push();
            default -> throw new IllegalArgumentException("unknown mode " + mode);
        };
        // Say good-bye to the server, but do not wait for its long polls to end.
        daemon(() -> {
            try {
                client.close();
            } catch (Exception error) {
                note("close: %s", error);
            }
        }).join(3000);
        return complete ? 0 : 1;
    }

    private static Map<String, String> parse(String[] words) {
        Map<String, String> args = new HashMap<>();
        for (int k = 1; k < words.length; k++) {
            String name = words[k].substring(2);
            args.put(name, name.equals("tls") ? "" : words[++k]);
        }
        return args;
    }

    public static void main(String[] words) {
        int status = 1;
        try {
            status = new Main(parse(words)).run(words[0]);
        } catch (Throwable error) {
            note("%s", error);
        }
        Runtime.getRuntime().halt(status);
    }
}
