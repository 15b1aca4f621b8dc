"""A client for servers that speak OpenAI's chat completions: OpenAI itself, vLLM, llama.cpp, Ollama and others. See :mod:`valuedrift.servers.client`."""
