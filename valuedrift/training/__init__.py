"""Training through TRL: what is trained (algorithms), when it is saved (schedule), and the job that a child process runs.

Nothing here imports torch before ``TrainJob.run``. The modules behind it import nothing but torch, transformers, trl, peft, accelerate and
datasets, so that a bare GPU machine can run them.
"""
