"""What every image shares: contract, policy, verdicts, measures, the model package, evidence, storage.

It must not import kfp, kopf, kubernetes, mlflow or any other part of Tallystick.
"""
