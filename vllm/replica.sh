#!/usr/bin/env bash
# One vLLM replica on 127.0.0.1 in the foreground; SIGTERM or SIGINT stops it.
#
#   vllm/replica.sh PORT [more arguments of "vllm serve"]
#
# ZEROHOP_VLLM_ADAPTERS   adapters to serve, default "sql chat code"; empty: no LoRA
# ZEROHOP_VLLM_TIED       if not empty: the leader of a process group, which ends with whoever started it
# ZEROHOP_VLLM_HOME       where setup.sh installed, default <repo>/.tools/vllm
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=${ZEROHOP_VLLM_HOME:-$(dirname "$here")/.tools/vllm}
port=${1:?usage: vllm/replica.sh PORT [more arguments of vllm serve]}
shift

[ -f "$home/complete" ] || {
    echo "vllm/replica.sh: nothing is set up in $home; run vllm/setup.sh first" >&2
    exit 1
}

lora=()
modules=()
for adapter in ${ZEROHOP_VLLM_ADAPTERS-sql chat code}; do
    modules+=("$adapter=$home/adapters/$adapter")
done
if [ ${#modules[@]} -gt 0 ]; then
    lora=(--enable-lora --max-loras 2 --max-cpu-loras 4 --max-lora-rank 8 --lora-modules "${modules[@]}")
fi

# The model is on disk: nothing may be fetched and nothing reported.
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1
export HF_HOME=$home/cache/huggingface VLLM_CACHE_ROOT=$home/cache/vllm
export XDG_CACHE_HOME=$home/cache XDG_CONFIG_HOME=$home/cache/config
# One engine thread in one process: two or three replicas share two cores.
export OMP_NUM_THREADS=1 VLLM_CPU_OMP_THREADS_BIND=nobind VLLM_CPU_KVCACHE_SPACE=1
export VLLM_ENABLE_V1_MULTIPROCESSING=0 TORCHDYNAMO_DISABLE=1
# Tests load adapters and reset caches while the server runs.
export VLLM_ALLOW_RUNTIME_LORA_UPDATING=True VLLM_SERVER_DEV_MODE=1

# Whoever started this may be killed before it can end what it has started, and the engine is a
# process of its own that outlives its server. So this one watches both, and ends what is left.
if [ -n "${ZEROHOP_VLLM_TIED:-}" ]; then
    parent=$PPID
    (
        while kill -0 "$parent" && kill -0 "$$"; do sleep 0.5; done
        kill -KILL -- "-$$"
    ) >/dev/null 2>&1 </dev/null &
fi

# float32, because for bfloat16 vLLM takes the AMX kernels where the CPU names AMX, and some virtual
# machines name it without letting anybody use it: the engine dies of SIGILL at the first request.
exec "$home/venv/bin/vllm" serve "$home/model" \
    --served-model-name tiny --host 127.0.0.1 --port "$port" \
    --dtype float32 --enforce-eager --distributed-executor-backend uni \
    --max-num-seqs 4 --max-model-len 1024 --block-size 32 --num-gpu-blocks-override 64 \
    --disable-uvicorn-access-log "${lora[@]}" "$@"
