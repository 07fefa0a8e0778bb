"""The named values of a spec: declared under `parameters`, used as `${name}`, set from outside."""
