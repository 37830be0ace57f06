import java.io.*;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.*;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs the main methods of Kafka's command-line tools one after another in one JVM, whose start costs more than most of them do.
 * Reads commands from standard input: a count, then as many strings (the class first), each with its length; all numbers are four
 * bytes, big-endian. Answers with the exit status, and what the tool wrote to its output and to its error, each with its length.
 */
public final class Toolbox {
    private static final class Ended extends RuntimeException {
        Ended() { super(null, null, false, false); }
    }

    private static Integer status;
    private static final List<Runnable> hooks = new ArrayList<>();

    private static void end(int code) {
        if (status == null) status = code;
        throw new Ended();
    }

    public static void main(String[] args) throws Exception {
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in));
        DataOutputStream answers = new DataOutputStream(new BufferedOutputStream(System.out));
        // SLF4J says once per JVM that it has nowhere to log to: not a word of the first tool's.
        PrintStream terminal = System.err;
        System.setErr(new PrintStream(OutputStream.nullOutputStream()));
        org.slf4j.LoggerFactory.getLogger(Toolbox.class);
        System.setErr(terminal);
        Exit.setExitProcedure((code, message) -> end(code));
        Exit.setHaltProcedure((code, message) -> end(code));
        // Some tools close their producer in a shutdown hook: theirs comes when the tool ends, not when the JVM does.
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        while (true) {
            int count;
            try {
                count = in.readInt();
            } catch (EOFException end) {
                break;
            }
            String[] command = new String[count];
            for (int i = 0; i < count; i++) command[i] = new String(in.readNBytes(in.readInt()), StandardCharsets.UTF_8);
            byte[] input = in.readNBytes(in.readInt());
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            ByteArrayOutputStream err = new ByteArrayOutputStream();
            System.setIn(new ByteArrayInputStream(input));
            System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
            run(command);
            System.out.flush();
            System.err.flush();
            answers.writeInt(status == null ? 0 : status);
            answers.writeInt(out.size());
            out.writeTo(answers);
            answers.writeInt(err.size());
            err.writeTo(answers);
            answers.flush();
        }
        System.exit(0);
    }

    private static void run(String[] command) {
        status = null;
        hooks.clear();
        try {
            Class<?> tool = Class.forName(command[0]);
            String[] rest = Arrays.copyOfRange(command, 1, command.length);
            tool.getMethod("main", String[].class).invoke(null, (Object) rest);
        } catch (InvocationTargetException thrown) {
            if (!(thrown.getCause() instanceof Ended)) {
                thrown.getCause().printStackTrace();
                status = 1;
            }
        } catch (ReflectiveOperationException missing) {
            missing.printStackTrace();
            status = 127;
        }
        for (Runnable hook : hooks) hook.run();
    }
}
