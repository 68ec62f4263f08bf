#!/usr/bin/env bash
#SBATCH --job-name=aaf
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=2
#SBATCH --cpus-per-task=16
#SBATCH --requeue
# A recipe on several machines, under Slurm: `sbatch bashscripts/cluster/slurm.sh` from the project's root. One task a
# machine; who is who comes from Slurm itself (--cluster slurm). Change the lines above to suit the cluster: sbatch's own
# flags win over them. RECIPE and the recipe's values come from the environment; a job that was cut off resumes.
set -euo pipefail
root="${SLURM_SUBMIT_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}" # Slurm runs a copy from elsewhere

: "${RECIPE:=$root/bashscripts/voc12/train_pspnet_aaf_mgpu.sh}"
: "${NUM_GPU:=${SLURM_GPUS_ON_NODE:-2}}"
export NUM_GPU
[ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK" # srun does not inherit it (22.05)

PARTS=train TRAIN_FLAGS="${TRAIN_FLAGS:-} --cluster slurm" srun bash "$RECIPE"
PARTS='predict score' bash "$RECIPE"
