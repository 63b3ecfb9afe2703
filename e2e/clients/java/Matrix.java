import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.regex.Pattern;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.document.Document;
import software.amazon.awssdk.core.util.VersionInfo;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.services.bedrock.BedrockClient;
import software.amazon.awssdk.services.bedrockruntime.BedrockRuntimeAsyncClient;
import software.amazon.awssdk.services.bedrockruntime.BedrockRuntimeClient;
import software.amazon.awssdk.services.bedrockruntime.model.*;

/**
 * The matrix row of the AWS SDK for Java v2: the synchronous client over its URL connection client, and the asynchronous
 * one over Netty for streams. Endpoint, region and keys come from the environment, as the SDK reads it by itself.
 *
 * <p>Like the scripts beside it, it prints one line of JSON for each of its cases.
 */
public final class Matrix {
  // What every client of the matrix asks and expects; the harness (matrix_test.go) chooses it.
  static final String MODEL = System.getenv("E2E_MODEL"); // a chat model of Anthropic's family
  static final String EMBEDDER = System.getenv("E2E_EMBEDDER"); // Titan Text Embeddings V2
  static final String SYSTEM = System.getenv("E2E_SYSTEM");
  static final String QUESTION = System.getenv("E2E_QUESTION");
  static final String ANSWER = System.getenv("E2E_ANSWER"); // whole reply to QUESTION under SYSTEM at temperature 0
  static final int INPUT_TOKENS = Integer.parseInt(System.getenv("E2E_INPUT_TOKENS")); // of SYSTEM and QUESTION
  static final int OUTPUT_TOKENS = Integer.parseInt(System.getenv("E2E_OUTPUT_TOKENS")); // of ANSWER
  static final String STOP = System.getenv("E2E_STOP"); // a part of ANSWER
  static final String BEFORE_STOP = System.getenv("E2E_BEFORE_STOP"); // what stands before STOP
  static final String UNKNOWN = "acme.gpt-0"; // nobody's model
  static final String TOOL = "get_weather";
  static final String WEATHER = "What is the weather in Paris?";
  static final String CALL_ID = "tooluse_e2e_1";
  static final String RESULT = "It is 21 degrees and sunny in Paris.";

  static final BedrockRuntimeClient runtime = BedrockRuntimeClient.create();
  static final BedrockRuntimeAsyncClient async = BedrockRuntimeAsyncClient.create();
  static final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);

  static Map<String, Callable<String>> cases() {
    Map<String, Callable<String>> cases = new LinkedHashMap<>();
    cases.put("models", Matrix::models);
    cases.put("converse", Matrix::converse);
    cases.put("converse_stream", Matrix::converseStream);
    cases.put("invoke", Matrix::invoke);
    cases.put("invoke_stream", Matrix::invokeStream);
    cases.put("embeddings", Matrix::embeddings);
    cases.put("system_prompt", Matrix::systemPrompt);
    cases.put("stop_sequence", Matrix::stopSequence);
    cases.put("usage", Matrix::usage);
    cases.put("tools", Matrix::tools);
    cases.put("tools_stream", Matrix::toolsStream);
    cases.put("tool_results", Matrix::toolResults);
    cases.put("json_schema", Matrix::jsonSchema);
    cases.put("count_tokens", Matrix::countTokens);
    cases.put("unknown_model", Matrix::unknownModel);
    cases.put("bad_key", Matrix::badKey);
    cases.put("validation", Matrix::validation);
    return cases;
  }

  static ConverseRequest.Builder ask() {
    return ConverseRequest.builder()
        .modelId(MODEL)
        .system(SystemContentBlock.fromText(SYSTEM))
        .messages(m -> m.role(ConversationRole.USER).content(ContentBlock.fromText(QUESTION)))
        .inferenceConfig(c -> c.maxTokens(40).temperature(0f));
  }

  static SdkBytes body() {
    return SdkBytes.fromUtf8String(
        "{\"anthropic_version\":\"bedrock-2023-05-31\",\"max_tokens\":40,\"temperature\":0,\"system\":"
            + quote(SYSTEM) + ",\"messages\":[{\"role\":\"user\",\"content\":" + quote(QUESTION) + "}]}");
  }

  static String text(ConverseResponse reply) {
    return reply.output().message().content().get(0).text();
  }

  static String models() {
    try (BedrockClient bedrock = BedrockClient.create()) {
      List<String> ids = bedrock.listFoundationModels(r -> {}).modelSummaries().stream().map(m -> m.modelId()).toList();
      check(ids.contains(MODEL) && ids.contains(EMBEDDER), "models are missing");
      return ids.size() + " models";
    }
  }

  static String converse() {
    ConverseResponse reply = runtime.converse(ask().build());
    equal(text(reply), ANSWER);
    equal(reply.stopReason(), StopReason.END_TURN);
    return "";
  }

  static String converseStream() {
    List<String> parts = new ArrayList<>();
    List<Object> ends = new ArrayList<>();
    ConverseRequest ask = ask().build();
    async
        .converseStream(
            r -> r.modelId(MODEL).system(ask.system()).messages(ask.messages()).inferenceConfig(ask.inferenceConfig()),
            ConverseStreamResponseHandler.builder()
                .subscriber(
                    ConverseStreamResponseHandler.Visitor.builder()
                        .onContentBlockDelta(e -> parts.add(e.delta().text()))
                        .onMessageStop(e -> ends.add(e.stopReason()))
                        .onMetadata(e -> ends.add(counted(e.usage().inputTokens(), e.usage().outputTokens())))
                        .build())
                .build())
        .join();
    equal(ends, List.of(StopReason.END_TURN, INPUT_TOKENS + " + " + OUTPUT_TOKENS));
    return streamed(parts);
  }

  static String invoke() {
    InvokeModelResponse raw = runtime.invokeModel(r -> r.modelId(MODEL).body(body()).contentType("application/json"));
    JsonNode reply = JsonNode.parser().parse(raw.body().asUtf8String());
    equal(reply.field("content").get().asArray().get(0).field("text").get().asString(), ANSWER);
    JsonNode usage = reply.field("usage").get();
    return counted(number(usage, "input_tokens"), number(usage, "output_tokens"));
  }

  static String invokeStream() {
    List<String> parts = new ArrayList<>();
    async
        .invokeModelWithResponseStream(
            r -> r.modelId(MODEL).body(body()).contentType("application/json"),
            InvokeModelWithResponseStreamResponseHandler.builder()
                .subscriber(
                    InvokeModelWithResponseStreamResponseHandler.Visitor.builder()
                        .onChunk(
                            c -> {
                              JsonNode chunk = JsonNode.parser().parse(c.bytes().asUtf8String());
                              if (chunk.field("type").get().asString().equals("content_block_delta")) {
                                parts.add(chunk.field("delta").get().field("text").get().asString());
                              }
                            })
                        .build())
                .build())
        .join();
    return streamed(parts);
  }

  static String embeddings() {
    double[] cat = embed("A cat sits on the mat.");
    double near = cosine(cat, embed("A kitten is lying on a rug."));
    double far = cosine(cat, embed("Quarterly tax returns are due in April."));
    check(near > far + 0.2, "near " + near + ", far " + far);
    return String.format("near %.2f, far %.2f", near, far);
  }

  static double[] embed(String words) {
    SdkBytes body = SdkBytes.fromUtf8String("{\"inputText\":" + quote(words) + "}");
    InvokeModelResponse raw = runtime.invokeModel(r -> r.modelId(EMBEDDER).body(body).contentType("application/json"));
    List<JsonNode> vector = JsonNode.parser().parse(raw.body().asUtf8String()).field("embedding").get().asArray();
    equal(vector.size(), 1024);
    return vector.stream().mapToDouble(n -> Double.parseDouble(n.asNumber())).toArray();
  }

  static double cosine(double[] a, double[] b) {
    double dot = 0, aa = 0, bb = 0;
    for (int i = 0; i < a.length; i++) {
      dot += a[i] * b[i];
      aa += a[i] * a[i];
      bb += b[i] * b[i];
    }
    return dot / Math.sqrt(aa * bb);
  }

  static String systemPrompt() {
    ConverseRequest bare = ask().system(List.of()).inferenceConfig(c -> c.maxTokens(8).temperature(0f)).build();
    ConverseResponse reply = runtime.converse(bare);
    check(reply.usage().inputTokens() != INPUT_TOKENS, "the same number of tokens");
    return "";
  }

  static String stopSequence() {
    ConverseRequest request = ask().inferenceConfig(c -> c.maxTokens(40).temperature(0f).stopSequences(STOP)).build();
    ConverseResponse reply = runtime.converse(request);
    equal(text(reply), BEFORE_STOP);
    equal(reply.stopReason(), StopReason.STOP_SEQUENCE);
    return "";
  }

  static String usage() {
    TokenUsage usage = runtime.converse(ask().build()).usage();
    equal(usage.totalTokens(), INPUT_TOKENS + OUTPUT_TOKENS);
    return counted(usage.inputTokens(), usage.outputTokens());
  }

  static ConverseRequest.Builder askWeather(ToolChoice choice, Message... turns) {
    List<Message> messages = new ArrayList<>(List.of(said(ConversationRole.USER, ContentBlock.fromText(WEATHER))));
    messages.addAll(List.of(turns));
    ToolSpecification spec =
        ToolSpecification.builder()
            .name(TOOL)
            .description("Tells the weather of a city.")
            .inputSchema(ToolInputSchema.fromJson(schema()))
            .build();
    return ConverseRequest.builder()
        .modelId(MODEL)
        .messages(messages)
        .toolConfig(t -> t.tools(Tool.fromToolSpec(spec)).toolChoice(choice))
        .inferenceConfig(c -> c.maxTokens(100).temperature(0f));
  }

  static Message said(ConversationRole role, ContentBlock block) {
    return Message.builder().role(role).content(block).build();
  }

  static Document schema() {
    return Document.mapBuilder()
        .putString("type", "object")
        .putMap(
            "properties",
            p ->
                p.putMap("city", c -> c.putString("type", "string"))
                    .putMap(
                        "unit",
                        u ->
                            u.putString("type", "string")
                                .putList("enum", e -> e.addString("celsius").addString("fahrenheit"))))
        .putList("required", r -> r.addString("city").addString("unit"))
        .putBoolean("additionalProperties", false)
        .build();
  }

  static String tools() {
    String detail = "";
    for (ToolChoice choice : List.of(ToolChoice.fromAny(a -> {}), ToolChoice.fromTool(t -> t.name(TOOL)))) {
      ConverseResponse reply = runtime.converse(askWeather(choice).build());
      equal(reply.stopReason(), StopReason.TOOL_USE);
      List<ContentBlock> blocks = reply.output().message().content();
      ToolUseBlock use = blocks.get(blocks.size() - 1).toolUse();
      equal(use.name(), TOOL);
      detail = fits(JsonNode.parser().parse(use.input().toString()));
    }
    return detail;
  }

  static String toolsStream() {
    List<String> parts = new ArrayList<>();
    ConverseRequest ask = askWeather(ToolChoice.fromAny(a -> {})).build();
    async
        .converseStream(
            r ->
                r.modelId(MODEL)
                    .messages(ask.messages())
                    .toolConfig(ask.toolConfig())
                    .inferenceConfig(ask.inferenceConfig()),
            ConverseStreamResponseHandler.builder()
                .subscriber(
                    ConverseStreamResponseHandler.Visitor.builder()
                        .onContentBlockDelta(
                            e -> {
                              if (e.delta().toolUse() != null) {
                                parts.add(e.delta().toolUse().input());
                              }
                            })
                        .build())
                .build())
        .join();
    check(parts.size() > 3, parts.toString());
    return fits(JsonNode.parser().parse(String.join("", parts)));
  }

  static String toolResults() {
    Document input = Document.mapBuilder().putString("city", "Paris").putString("unit", "celsius").build();
    Message use = said(ConversationRole.ASSISTANT, ContentBlock.fromToolUse(t -> t.toolUseId(CALL_ID).name(TOOL).input(input)));
    Message result =
        said(
            ConversationRole.USER,
            ContentBlock.fromToolResult(t -> t.toolUseId(CALL_ID).content(ToolResultContentBlock.fromText(RESULT))));
    String text = text(runtime.converse(askWeather(ToolChoice.fromAuto(a -> {}), use, result).build()));
    check(text.contains("21"), text);
    return text;
  }

  static String jsonSchema() {
    OutputFormatStructure form = OutputFormatStructure.fromJsonSchema(j -> j.name("weather").schema(schema().toString()));
    ConverseRequest.Builder ask = askWeather(null).toolConfig((ToolConfiguration) null);
    ask.outputConfig(o -> o.textFormat(f -> f.type(OutputFormatType.JSON_SCHEMA).structure(form)));
    return fits(JsonNode.parser().parse(text(runtime.converse(ask.build()))));
  }

  static String countTokens() {
    ConverseRequest ask = ask().build();
    for (CountTokensInput input :
        List.of(
            CountTokensInput.fromConverse(c -> c.system(ask.system()).messages(ask.messages())),
            CountTokensInput.fromInvokeModel(i -> i.body(body())))) {
      equal(runtime.countTokens(r -> r.modelId(MODEL).input(input)).inputTokens(), INPUT_TOKENS);
    }
    return "";
  }

  static String fits(JsonNode value) {
    Map<String, JsonNode> fields = value.asObject();
    equal(fields.keySet(), java.util.Set.of("city", "unit"));
    check(List.of("celsius", "fahrenheit").contains(fields.get("unit").asString()), value.toString());
    return fields.get("city").asString() + ", " + fields.get("unit").asString();
  }

  static String unknownModel() {
    return fails(
        ValidationException.class, "The provided model identifier is invalid.",
        () -> runtime.converse(ask().modelId(UNKNOWN).build()));
  }

  static String badKey() {
    var keys = AwsBasicCredentials.create("AKIAIOSFODNN7EXAMPLE", "x".repeat(40));
    try (var stranger =
        BedrockRuntimeClient.builder().credentialsProvider(StaticCredentialsProvider.create(keys)).build()) {
      return fails(BedrockRuntimeException.class, "security token", () -> stranger.converse(ask().build()));
    }
  }

  static String validation() {
    return fails(
        ValidationException.class, "temperature",
        () -> runtime.converse(ask().inferenceConfig(c -> c.temperature(1.5f)).build()));
  }

  static String fails(Class<? extends BedrockRuntimeException> kind, String words, Callable<?> call) {
    try {
      call.call();
    } catch (Exception e) {
      check(kind.isInstance(e) && e.getMessage().contains(words), "not a " + kind.getSimpleName() + ": " + e);
      return ((BedrockRuntimeException) e).awsErrorDetails().errorCode();
    }
    throw new AssertionError("no " + kind.getSimpleName());
  }

  static String streamed(List<String> parts) {
    parts.removeIf(p -> p == null || p.isEmpty());
    equal(String.join("", parts), ANSWER);
    check(parts.size() > 3, parts.toString());
    return parts.size() + " parts";
  }

  static String counted(int input, int output) {
    equal(input, INPUT_TOKENS);
    equal(output, OUTPUT_TOKENS);
    return input + " + " + output;
  }

  static int number(JsonNode node, String field) {
    return Integer.parseInt(node.field(field).get().asNumber());
  }

  static void equal(Object got, Object want) {
    check(got.equals(want), "got " + got + ", want " + want);
  }

  static void check(boolean good, String message) {
    if (!good) {
      throw new AssertionError(message);
    }
  }

  /** A JSON string. */
  static String quote(String s) {
    StringBuilder b = new StringBuilder("\"");
    for (char c : s.toCharArray()) {
      if (c == '"' || c == '\\') {
        b.append('\\').append(c);
      } else if (c < ' ') {
        b.append(String.format("\\u%04x", (int) c));
      } else {
        b.append(c);
      }
    }
    return b.append('"').toString();
  }

  public static void main(String[] args) {
    Pattern only = Pattern.compile(args.length > 0 ? args[0] : "");
    out.println("{\"about\":{\"version\":" + quote(VersionInfo.SDK_VERSION) + "}}");
    int done = 0;
    for (var c : cases().entrySet()) {
      if (!only.matcher(c.getKey()).find()) {
        continue;
      }
      done++;
      long begin = System.nanoTime();
      String detail = "", error = "";
      try {
        detail = c.getValue().call();
      } catch (Throwable e) {
        error = e.toString();
      }
      double seconds = (System.nanoTime() - begin) / 1e9;
      out.println(
          "{\"name\":" + quote(c.getKey()) + ",\"error\":" + quote(error) + ",\"detail\":" + quote(detail)
              + ",\"seconds\":" + String.format(java.util.Locale.ROOT, "%.2f", seconds) + "}");
    }
    out.println("{\"done\":" + done + "}");
    System.exit(0); // the clients' threads would hold the process
  }
}
