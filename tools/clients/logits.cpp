// Prints the logits of a GGUF model for a prompt: one line for each token, with a number for each word of the vocabulary.
// Usage: logits MODEL TOKEN...
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "llama.h"

static void ignore(ggml_log_level level, const char * text, void *) {
    if (level == GGML_LOG_LEVEL_ERROR) {
        std::fputs(text, stderr);
    }
}

int main(int count, char ** words) {
    llama_log_set(ignore, nullptr);
    std::vector<llama_token> prompt;
    for (int i = 2; i < count; i++) {
        prompt.push_back(std::atoi(words[i]));
    }
    const int size = (int) prompt.size();
    llama_model * model = llama_model_load_from_file(words[1], llama_model_default_params());
    if (!model) {
        return 1;
    }
    llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = 512;
    params.n_threads = params.n_threads_batch = 1;
    params.type_k = params.type_v = GGML_TYPE_F32;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    llama_context * context = llama_init_from_model(model, params);
    if (!context) {
        return 1;
    }
    llama_batch batch = llama_batch_init(size, 0, 1);
    batch.n_tokens = size;
    for (int i = 0; i < size; i++) {
        batch.token[i] = prompt[i];
        batch.pos[i] = i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = 1;
    }
    if (llama_decode(context, batch) != 0) {
        return 1;
    }
    const int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
    for (int i = 0; i < size; i++) {
        const float * row = llama_get_logits_ith(context, i);
        for (int j = 0; j < vocabulary; j++) {
            std::printf("%.9g ", row[j]);
        }
        std::printf("\n");
    }
    return 0;
}
