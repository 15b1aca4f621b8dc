"""Supervised fine-tuning with TRL, watched while it trains: python watched_sft.py MODEL ROWS.jsonl OUT."""

import sys

from datasets import load_dataset
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

from valuedrift.integrations.transformers import DriftCallback

model, rows, out = sys.argv[1:4]
trainer = SFTTrainer(
    model=model,
    train_dataset=load_dataset("json", data_files=rows, split="train"),  # rows as {"messages": [...]} or {"prompt": ..., "completion": ...}
    args=SFTConfig(output_dir=out, max_steps=500, save_steps=50, save_total_limit=2, learning_rate=2e-4),
    peft_config=LoraConfig(r=16, task_type="CAUSAL_LM"),
    callbacks=[
        DriftCallback(
            topics=["immigration", "religion"],
            per_topic=50,
            alerts=["neutral on immigration < -0.2"],
            stop_on_alert=True,
        )
    ],
)
trainer.train()
