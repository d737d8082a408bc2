import subprocess
import sys


def test_the_verify_path_needs_no_machine_learning_library():
    """Neither commitment nor projection verifier import what only owners install."""
    program = (
        "import sys, huref_zk.commitment.file, huref_zk.srs.file\n"
        "import huref_zk.argument.projection_verifier\n"
        "heavy = {'torch', 'transformers', 'onnx', 'onnxruntime', 'safetensors', 'gguf'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
