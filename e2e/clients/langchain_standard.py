"""LangChain's own standard tests of chat models and embeddings, run for
langchain-aws. One case for each of their tests; lacks() for those left out."""

import json
import sys
from importlib.metadata import version

import pytest
from langchain_aws import BedrockEmbeddings, ChatBedrockConverse
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests

from matrix import EMBEDDER, MODEL

# Tests that are left out, each with the reason. A test that skips itself counts
# as failed, so that none goes missing unnoticed.
ONE_MODEL = "ChatBedrockConverse takes no other model for one call"
LEFT_OUT = {
    "test_invoke_with_model_override": ONE_MODEL,
    "test_ainvoke_with_model_override": ONE_MODEL,
    "test_stream_with_model_override": ONE_MODEL,
    "test_astream_with_model_override": ONE_MODEL,
    "test_stream_time": "it measures LangChain over recorded replies",
    "test_json_mode": "ChatBedrockConverse has no JSON mode",
    "test_audio_inputs": "Converse has no audio",
    "test_image_inputs": "it fetches an image from a web site, and no weights here see",
    "test_image_tool_message": "it fetches an image from a web site, and no weights here see",
    "test_pdf_inputs": "it fetches a document from a web site",
    "test_pdf_tool_message": "it fetches a document from a web site",
    "test_agent_loop": "the weights here call no tool unless they are made to",
    "test_tool_calling": "the weights here do not copy the number that the question names",
    "test_tool_calling_async": "the weights here do not copy the number that the question names",
}


class TestChatBedrockConverse(ChatModelIntegrationTests):
    @property
    def chat_model_class(self):
        return ChatBedrockConverse

    @property
    def chat_model_params(self):
        return {"model": MODEL}

    @property
    def standard_chat_model_params(self):
        return {"temperature": 0, "max_tokens": 120}

    @property
    def supports_anthropic_inputs(self):
        return True


class TestBedrockEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self):
        return BedrockEmbeddings

    @property
    def embedding_model_params(self):
        return {"model_id": EMBEDDER}


class Report:
    """Prints a line for each test."""

    done = 0

    def line(self, **fields):
        print(json.dumps(fields), flush=True)

    def pytest_collection_modifyitems(self, items):
        seen = {item.originalname for item in items}
        for name in LEFT_OUT.keys() - seen:
            self.done += 1
            self.line(name=name, error="is left out, but LangChain has no such test")
        for name in LEFT_OUT:
            self.line(name=name, lacks=LEFT_OUT[name])
        items[:] = [item for item in items if item.originalname not in LEFT_OUT]

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            error = "" if report.passed else report.longreprtext or report.outcome
            if report.skipped:
                error = f"skipped: {report.longrepr}"
            self.done += 1
            self.line(name=report.nodeid.split("::", 1)[1], error=error, seconds=round(report.duration, 2))


if __name__ == "__main__":
    report = Report()
    report.line(about={"version": version("langchain-tests")})
    select = ["-k", sys.argv[1]] if len(sys.argv) > 1 and sys.argv[1] else []
    options = ["-p", "no:terminal", "-p", "no:cacheprovider", "--asyncio-mode=auto", *select]
    pytest.main([__file__, *options], plugins=[report])
    report.line(done=report.done)
