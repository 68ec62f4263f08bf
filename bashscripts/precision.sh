#!/usr/bin/env bash
# Prints bfloat16 where this machine's processor multiplies it (measured in pyscripts/profile/README.md), else float32.
# It does not look at GPUs: where one trains, set PRECISION.
grep -qswE 'avx512_bf16|amx_bf16' /proc/cpuinfo && echo bfloat16 || echo float32
