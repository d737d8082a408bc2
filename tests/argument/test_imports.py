import subprocess
import sys


def test_the_verify_path_needs_no_machine_learning_library():
    """Neither commitments nor verifiers of arguments import what only owners install."""
    program = (
        "import sys, huref_zk.commitment.commit, huref_zk.srs.file\n"
        "import huref_zk.argument.projection, huref_zk.argument.linear\n"
        "heavy = {'torch', 'transformers', 'onnx', 'onnxruntime', 'safetensors', 'gguf', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
