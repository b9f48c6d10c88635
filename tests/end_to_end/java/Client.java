// pusher-java-client at work: subscribes to the channels it is given and prints what it hears, a line each.
//
// Arguments: host, port, key, authorization endpoint, then channels. What is thrown anywhere, which ends an
// app on Android, is a line that begins with "thrown".

import com.pusher.client.Pusher;
import com.pusher.client.PusherOptions;
import com.pusher.client.channel.PresenceChannelEventListener;
import com.pusher.client.channel.PrivateEncryptedChannelEventListener;
import com.pusher.client.channel.PusherEvent;
import com.pusher.client.channel.SubscriptionEventListener;
import com.pusher.client.channel.User;
import com.pusher.client.connection.ConnectionEventListener;
import com.pusher.client.connection.ConnectionState;
import com.pusher.client.connection.ConnectionStateChange;
import com.pusher.client.util.HttpChannelAuthorizer;
import com.pusher.client.util.UrlEncodedConnectionFactory;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;

public class Client {
    static synchronized void say(String... words) {
        System.out.println(String.join("\t", words).replace("\n", " "));
        System.out.flush();
    }

    static void thrown(Throwable error) {
        StringWriter text = new StringWriter();
        error.printStackTrace(new PrintWriter(text));
        say("thrown", text.toString());
    }

    static class Listener implements PresenceChannelEventListener, PrivateEncryptedChannelEventListener {
        public void onEvent(PusherEvent event) {
            say("event", event.getChannelName(), event.getEventName(), event.getData());
        }

        public void onSubscriptionSucceeded(String channel) {
            say("subscribed", channel);
        }

        public void onAuthenticationFailure(String message, Exception error) {
            say("refused", message);
        }

        public void onDecryptionFailure(String event, String reason) {
            say("undecrypted", event, reason);
        }

        public void onUsersInformationReceived(String channel, Set<User> users) {
            say("members", channel, String.valueOf(users.size()));
        }

        public void userSubscribed(String channel, User user) {
            say("added", channel, user.getId());
        }

        public void userUnsubscribed(String channel, User user) {
            say("removed", channel, user.getId());
        }
    }

    public static void main(String[] given) throws Exception {
        Thread.setDefaultUncaughtExceptionHandler((thread, error) -> thrown(error));
        Map<String, String> form = new HashMap<>(Map.of("user", "{\"user_id\":\"java\"}"));
        HttpChannelAuthorizer authorizer =
            new HttpChannelAuthorizer(given[3], new UrlEncodedConnectionFactory(form));
        PusherOptions options = new PusherOptions()
            .setHost(given[0]).setWsPort(Integer.parseInt(given[1])).setUseTLS(false)
            .setChannelAuthorizer(authorizer);
        Pusher pusher = new Pusher(given[2], options);
        Listener listener = new Listener();
        for (int at = 4; at < given.length; at++) {
            String name = given[at];
            if (name.startsWith("private-encrypted-")) {
                pusher.subscribePrivateEncrypted(name, listener, "my-event");
            } else if (name.startsWith("presence-")) {
                pusher.subscribePresence(name, listener, "my-event");
            } else if (name.startsWith("private-")) {
                pusher.subscribePrivate(name, listener, "my-event");
            } else {
                pusher.subscribe(name, listener, "my-event");
            }
        }
        pusher.connect(new ConnectionEventListener() {
            public void onConnectionStateChange(ConnectionStateChange change) {
                say("state", change.getCurrentState().toString());
            }

            public void onError(String message, String code, Exception error) {
                say("error", String.valueOf(code), String.valueOf(message));
                if (error != null) {
                    thrown(error);
                }
            }
        }, ConnectionState.ALL);
        System.in.read();  // until whoever started this is done
        pusher.disconnect();
        System.exit(0);
    }
}
