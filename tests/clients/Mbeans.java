import com.sun.tools.attach.VirtualMachine;
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.*;
import javax.management.*;
import javax.management.remote.*;

/**
 * Asks another JVM for MBeans. Argument: its process id. Each line of the input is a pattern of object names, and attributes that
 * they must have, each behind a tab; for each that is missing a line says so.
 */
public final class Mbeans {
    public static void main(String[] args) throws Exception {
        VirtualMachine machine = VirtualMachine.attach(args[0]);
        JMXServiceURL address = new JMXServiceURL(machine.startLocalManagementAgent());
        try (JMXConnector connector = JMXConnectorFactory.connect(address)) {
            MBeanServerConnection server = connector.getMBeanServerConnection();
            BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                String[] words = line.split("\t");
                Set<ObjectName> names = server.queryNames(new ObjectName(words[0]), null);
                if (names.isEmpty()) {
                    System.out.println("no MBean " + words[0]);
                }
                for (String attribute : Arrays.asList(words).subList(1, words.length)) {
                    if (!names.isEmpty() && names.stream().noneMatch(name -> has(server, name, attribute))) {
                        System.out.println("no attribute " + attribute + " of " + words[0]);
                    }
                }
            }
        } finally {
            machine.detach();
        }
    }

    private static boolean has(MBeanServerConnection server, ObjectName name, String attribute) {
        try {
            return Arrays.stream(server.getMBeanInfo(name).getAttributes()).anyMatch(a -> a.getName().equals(attribute));
        } catch (JMException | IOException e) {
            throw new IllegalStateException(e);
        }
    }
}
