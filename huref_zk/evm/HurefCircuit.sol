// SPDX-License-Identifier: Apache-2.0

pragma solidity ^0.8.0;

/// What is called of ezkl's contract. Its own declaration promises a third result, which it returns
/// in a form that no ABI decoder reads.
interface IHalo2Verifier {
    function registerVka(bytes32[] calldata vka) external returns (bytes32 digest);

    function verifyProof(bytes calldata proof, uint256[] calldata instances, bytes32[] calldata vka)
        external
        view
        returns (bool success, bytes32 digest);
}

/// The circuit part of a huref-zk proof, for one circuit under one SRS; docs/evm.md says what the
/// other parts are and who must check them.
///
/// ezkl's contract must be called through this one only. It accepts any registered key, and anybody
/// may register one: here the key is fixed. And it hashes the proof where the calldata says it lies,
/// but computes with what lies where a proof usually does: here both are the same, because the
/// arguments are written anew for it, one after the other.
contract HurefCircuit {
    /// Length of what opens a proof: the commitments to the circuit's 32 rows.
    uint256 private constant ROWS = 32 * 64;

    /// keccak256 of the words of the circuit's verifying key.
    bytes32 public immutable key;
    IHalo2Verifier private immutable halo2;
    bool private registered;

    /// Somebody knows rows with these commitments (keccak256 of the points) from which the circuit
    /// computes v (keccak256 of its integers, 32 bytes each).
    event Proven(bytes32 indexed rows, bytes32 indexed v);

    constructor(bytes32 circuitKey) {
        key = circuitKey;
        halo2 = IHalo2Verifier(address(new Halo2VerifierReusable()));
    }

    /// Reverts unless the proof holds. words: those of the verifying key.
    function check(bytes calldata proof, uint256[] calldata v, bytes32[] calldata words)
        external
        returns (bytes32 rows)
    {
        if (!registered) {
            require(halo2.registerVka(words) == key, "another circuit's key");
            registered = true;
        }
        (bool success, bytes32 used) = halo2.verifyProof(proof, v, words);
        require(success && used == key, "another circuit's key");
        rows = keccak256(proof[:ROWS]);
        emit Proven(rows, keccak256(abi.encodePacked(v)));
    }
}
