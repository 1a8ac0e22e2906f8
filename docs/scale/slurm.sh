#!/bin/bash
#SBATCH --nodes=4 --ntasks-per-node=1 --gpus-per-node=8 --signal=TERM@120 --requeue
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
resume=$([ -d "$OUT/checkpoints" ] && echo --resume)
srun torchrun --nnodes=4 --nproc-per-node=8 --rdzv-backend=c10d --rdzv-id="$SLURM_JOB_ID" --rdzv-endpoint="$head:29500" \
  -m ceiba train recipe.yaml --out "$OUT" $resume --set train.parallel=fsdp
