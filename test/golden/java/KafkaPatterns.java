import com.google.re2j.Pattern;
import com.google.re2j.PatternSyntaxException;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.stream.Collectors;

/**
 * The pattern library that Kafka's coordinator uses, as a referee for ours. The first line of the input holds names, each other one a pattern;
 * printed are the same first line, then each pattern with the names it matches or the reason it is refused.
 */
public final class KafkaPatterns {
    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        String first = in.readLine();
        out.println(first);
        List<String> names = List.of(first.split(" "));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String answer;
            try {
                Pattern pattern = Pattern.compile(line);
                answer = "matches " + names.stream().filter(name -> pattern.matcher(name).matches()).collect(Collectors.joining(" "));
            } catch (PatternSyntaxException e) {
                answer = "refused " + e.getDescription();
            }
            out.println(line + "\t" + answer.trim());
        }
        out.flush();
    }
}
